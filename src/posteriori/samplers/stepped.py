"""What the samplers that step down the prior's schedule share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from posteriori.priors.base import Denoised, Prior
from posteriori.sampler import Sampler
from posteriori.schedule import CLEAN, Level, Schedule, Spacing


@dataclass(frozen=True, kw_only=True)
class SteppedSampler(Sampler):
    """A sampler that visits the levels of ``Schedule.path``."""

    steps: Annotated[int, "reverse steps over the whole schedule, up to its T levels"] = 1000
    spacing: Annotated[
        Spacing,
        "which levels: linspace from T to 1, leading every (T // steps)-th from 1, quadratic from T to 1, dense at 1, "
        "edm from T to 1 with (sigma / alpha)^(1/7) falling evenly",
    ] = "linspace"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}: give at least 1")

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.path(self.steps, self.spacing)


def estimate(prior: Prior, x_t: Tensor, t: Level, clip: bool) -> Denoised:
    """The prior's estimate, clamped to its bounds where ``clip`` says so; gradients go through the clamp."""
    denoised = prior.denoise(x_t, t)
    if clip and prior.bounds is not None:
        return denoised._replace(x0=denoised.x0.clamp(*prior.bounds))
    return denoised


def falling(first: float, last: float, steps: int, schedule: Schedule) -> list[Level]:
    """Variance-exploding levels: sigma^(1/7) falls evenly from ``first``, to reach ``last`` after ``steps``; then 0."""
    roots = (first ** (1 / 7) + k / steps * (last ** (1 / 7) - first ** (1 / 7)) for k in range(steps))
    return [*(schedule.at_noise(root**7) for root in roots), CLEAN]


def geometric(first: float, last: float, levels: int, schedule: Schedule) -> list[Level]:
    """``levels`` variance-exploding levels from ``first`` to ``last``, sigma falling by one factor; then 0."""
    ratio = (last / first) ** (1 / max(levels - 1, 1))
    sigmas = (first * ratio**k for k in range(levels))
    return [*(schedule.at_noise(sigma) for sigma in sigmas), CLEAN]

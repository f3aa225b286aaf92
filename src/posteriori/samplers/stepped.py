"""What the samplers that step down the prior's schedule share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from posteriori.prior import Denoised, Prior
from posteriori.sampler import Sampler
from posteriori.schedule import Level, Schedule, Spacing


@dataclass(frozen=True, kw_only=True)
class SteppedSampler(Sampler):
    """A sampler that visits the levels of ``Schedule.path``."""

    steps: Annotated[int, "reverse steps over the whole schedule, up to its T levels"] = 1000
    spacing: Annotated[
        Spacing,
        "which levels: linspace from T to 1, leading every (T // steps)-th from 1, quadratic from T to 1, dense at 1",
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

"""The reverse process alone: DDPM and DDIM in one class, and the base of every method built on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from torch import Tensor

from posteriori.kernels import Variance, reverse
from posteriori.likelihood import Likelihood
from posteriori.prior import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler, State
from posteriori.schedule import Level, Schedule, Spacing


@dataclass(frozen=True, kw_only=True)
class ReverseSampler(Sampler):
    """A sampler that steps down the schedule (``Schedule.path``) with the reverse kernel (``kernels.reverse``)."""

    steps: Annotated[int, "reverse steps over the whole schedule, up to its T levels"] = 1000
    spacing: Annotated[Spacing, "which levels: linspace from T to 1, leading every (T // steps)-th from 1"] = "linspace"
    eta: Annotated[float, "noise drawn in a step, from 0 (deterministic DDIM) to 1 (DDPM)"] = 1.0
    variance: Annotated[Variance, "variance of a DDPM step; auto: learned where the network has it"] = "auto"
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}: give at least 1")
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta is {self.eta}: give 0 (deterministic DDIM) to 1 (DDPM)")

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.path(self.steps, self.spacing)

    def denoise(self, x_t: Tensor, t: Level, prior: Prior) -> Denoised:
        """The prior's estimate, clamped where ``clip`` says so; gradients go through the clamp."""
        denoised = prior.denoise(x_t, t)
        if self.clip and prior.bounds is not None:
            return denoised._replace(x0=denoised.x0.clamp(*prior.bounds))
        return denoised

    def reverse(self, x_t: Tensor, denoised: Denoised, t: Level, s: Level, rng: Rng) -> Tensor:
        """x_s ~ p(x_s | x_t, x0)."""
        noise = lambda: rng.normal(x_t.shape[1:])  # noqa: E731
        return reverse(x_t, denoised.x0, t, s, noise, eta=self.eta, variance=self.variance, fraction=denoised.var)


@final
@dataclass(frozen=True, kw_only=True)
class DDIM(ReverseSampler):
    """The prior alone, without data: DDPM at eta = 1, DDIM below.

    Paper: Ho et al. 2020, "Denoising diffusion probabilistic models", algorithm 2; Song et al. 2021,
    "Denoising diffusion implicit models", eq. 12.
    """

    name: ClassVar[str] = "ddim"

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        denoised = self.denoise(state.x, state.level, prior)
        residual = like.residual(denoised.x0).norm(dim=1)
        x = self.reverse(state.x, denoised, state.level, s, rng)
        return State(x, s, state.n, denoised.x0, {"residual": residual})

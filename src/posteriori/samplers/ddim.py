"""The reverse process alone: DDPM and DDIM in one class, and the base of every method built on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from torch import Tensor

from posteriori.kernels import Variance, reverse
from posteriori.likelihood import Likelihood
from posteriori.priors.base import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import State
from posteriori.samplers.stepped import SteppedSampler, estimate
from posteriori.schedule import Level


@dataclass(frozen=True, kw_only=True)
class ReverseSampler(SteppedSampler):
    """A sampler that steps down the schedule with the reverse kernel (``kernels.reverse``)."""

    eta: Annotated[float, "noise drawn in a step, from 0 (deterministic DDIM) to 1 (DDPM)"] = 1.0
    variance: Annotated[Variance, "variance of a DDPM step; auto: learned where the network has it"] = "auto"
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta is {self.eta}: give 0 (deterministic DDIM) to 1 (DDPM)")

    def denoise(self, x_t: Tensor, t: Level, prior: Prior) -> Denoised:
        """The prior's estimate, clamped where ``clip`` says so; gradients go through the clamp."""
        return estimate(prior, x_t, t, self.clip)

    def reverse(self, x_t: Tensor, denoised: Denoised, t: Level, s: Level, rng: Rng) -> Tensor:
        """x_s ~ p(x_s | x_t, x0)."""
        noise = lambda: rng.normal(x_t.shape[1:])  # noqa: E731
        return reverse(
            x_t, denoised.x0, t, s, noise, eta=self.eta, variance=self.variance, fraction=denoised.variance_fraction
        )


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

"""What estimates of E[x_0 | x_t, y] share, and the reverse kernel that steps with them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor

from posteriori.kernels import Variance, reverse
from posteriori.likelihoods.base import Linear
from posteriori.priors.base import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import State, SteppedSampler
from posteriori.schedule import Level


@dataclass(frozen=True, kw_only=True)
class Guidance(SteppedSampler):
    """A sampler whose step rests on an estimate of E[x_0 | x_t, y]. Other integrators can use it, too (``Reverse``)."""

    @abstractmethod
    def __call__(self, x_t: Tensor, t: Level, prior: Prior, like: Any) -> Denoised:
        """The estimate of x_0 at x_t, (B, *shape), and level ``t``: the answer of ``prior``, corrected for y."""


@dataclass(frozen=True, kw_only=True)
class ReverseSampler(SteppedSampler):
    """A sampler that steps down the schedule with the reverse kernel (``kernels.reverse``)."""

    eta: Annotated[float, Ge(0), Le(1), "noise drawn in a step, from 0 (deterministic DDIM) to 1 (DDPM)"] = 1.0
    variance: Annotated[Variance, "variance of a DDPM step; auto: learned where the network has it"] = "auto"
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def reverse(self, x_t: Tensor, denoised: Denoised, t: Level, s: Level, rng: Rng) -> Tensor:
        """x_s ~ p(x_s | x_t, x0)."""
        noise = lambda: rng.normal(x_t.shape[1:])  # noqa: E731
        x0, fraction = denoised.x0, denoised.variance_fraction
        return reverse(x_t, x0, t, s, noise, eta=self.eta, variance=self.variance, fraction=fraction)


@dataclass(frozen=True, kw_only=True)
class ReverseGuidance(ReverseSampler, Guidance):
    """A guidance whose own step is the reverse kernel, with the estimate in place of x0."""

    def step(self, state: State, s: Level, prior: Prior, like: Any, rng: Rng) -> State:
        denoised = self(state.x, state.level, prior, like)
        x_s = self.reverse(state.x, denoised, state.level, s, rng)
        return State(x_s, s, state.n, denoised.alone)


class Moments(NamedTuple):
    """p(x_0 | x_t) as a Gaussian, mean ``denoised.x0`` and covariance C, seen through y = A x_0 + sigma_y n."""

    denoised: Denoised
    #: y - A x0 over the m observed entries, (B, m)
    misfit: Tensor
    #: v -> C A^T v, (B, m) -> (B, *shape)
    lift: Callable[[Tensor], Tensor]
    #: x -> A x, (B, *shape) -> (B, m)
    seen: Callable[[Tensor], Tensor]
    #: v -> (A C A^T + sigma_y^2 I) v, (B, m)
    product: Callable[[Tensor], Tensor]


def moments(x_t: Tensor, t: Level, prior: Prior, like: Linear, clip: bool) -> Moments:
    """The exact moments of p(x_0 | x_t): C = sigma_t^2 / alpha_t J, J = d E[x_0 | x_t] / d x_t; one vjp per product.

    A vjp gives J^T instead of J. They are equal if the denoiser is exact.
    """
    t = t.with_signal()
    denoised, vjp = prior.linearise(x_t, t, clip)
    with torch.enable_grad():
        x0 = denoised.x0.detach().requires_grad_()
        misfit = like.misfit(x0)

    def lift(v: Tensor) -> Tensor:
        (minus,) = torch.autograd.grad(misfit, x0, v, retain_graph=True)  # -A^T v
        return -(t.sigma**2) / t.alpha * vjp(minus, again=True)

    def seen(x: Tensor) -> Tensor:
        return like.misfit(torch.zeros_like(x)) - like.misfit(x)

    def product(v: Tensor) -> Tensor:
        return like.sigma**2 * v + seen(lift(v))

    return Moments(denoised, misfit.detach(), lift, seen, product)

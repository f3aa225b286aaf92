"""PnP-DM: Gibbs sampling between the prior and the measurement, with an annealed coupling."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.kernels import reverse
from posteriori.likelihoods.base import Likelihood, Spectral
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler, State
from posteriori.samplers.langevin import langevin
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True, kw_only=True)
class PnPDM(Sampler):
    """Split Gibbs sampling: x from the prior and z from the likelihood in turn, coupled by N(z; x, rho^2 I); rho falls.

    The state x_t is z, and its level is rho (variance exploding):

        x ~ p(x_0 = x | z = x + rho eps)         the reverse process from rho to 0, ``inner`` steps
        z ~ p(y | z) N(z; x, rho^2 I)            with the next rho: exactly by the SVD, or else by Langevin steps

    The result is the last x. At fixed rho the chain's x has the law p(x) N(y; A x, sigma_y^2 I + rho^2 A A^T).

    Paper: Wu et al. 2024, "Principled probabilistic imaging using diffusion models as plug-and-play priors", algorithm
    1 and eq. 4 to 7.

    Operators and noise: any. Cost: ``inner`` network calls a step, 2,000 by default. There are gradients through A only
    without an SVD or with noise that is not Gaussian.

    Without an SVD, z starts at x (the first one at noise) and takes ``langevin_steps`` of z <- z + eta (grad log p(y |
    z) + (x - z) / rho^2) + sqrt(2 eta) eps, as the paper's code does for nonlinear operators, with its 100 steps of eta
    = 1e-4. They are stable if eta is below twice the smallest variance of y and rho together.

    Exact in the limit of rho_min to 0, many inner steps and many steps. To move between modes at a distance D, the
    chain needs about exp(D^2 / (8 rho^2)) steps at rho; below, it keeps the weights that it reached at larger rho. With
    20 inner steps the covariance of x given z is 20 to 26% too small, with 100 it is 5 to 6%.

    The paper's rho falls by a fixed factor to rho_min and stays there. Here the factor is such that the last step is at
    rho_min. By default the code's prior step is the probability-flow ODE, which is deterministic given z and so no
    sample. Here it is stochastic, as in the code's "sde" modes, on EDM's levels.
    """

    name: ClassVar[str] = "pnpdm"
    requires: ClassVar[type[Likelihood]] = Likelihood

    steps: Annotated[int, Ge(1), "Gibbs steps, from rho_max to rho_min"] = 100
    inner: Annotated[int, Ge(1), "network calls in each prior step"] = 20
    rho_max: Annotated[float, Gt(0), "coupling rho of the first step, on the [-1, 1] scale"] = 10.0
    rho_min: Annotated[float, Gt(0), "coupling rho of the last step, on the [-1, 1] scale"] = 0.1
    langevin_steps: Annotated[int, Ge(1), "Langevin steps towards y at each rho, without an SVD"] = 100
    step_size: Annotated[float, Gt(0), "length eta of a Langevin step, limited to rho^2 / 2"] = 1e-4
    clip: Annotated[bool, "clamp the estimates of x_0 to the prior's bounds"] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.rho_min < self.rho_max:
            raise PosterioriError(f"rho_min is {self.rho_min}, rho_max {self.rho_max}: give a rho_min below rho_max")

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.geometric(self.rho_max, self.rho_min, self.steps)

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng, n: int) -> State:
        z = rng.normal(prior.shape)
        first = _towards_y(torch.zeros_like(z), t.sigma, like, z) if isinstance(like, Spectral) else z
        return State(first, t, n)

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        t, shape = state.level, state.x.shape[1:]
        x_u = x0 = state.x  # z
        for u, v in pairwise(prior.schedule.falling(t.sigma, min(t.sigma / 2, 0.01), self.inner)):
            x0 = prior.estimate(x_u, u, self.clip).x0
            x_u = reverse(x_u, x0, u, v, lambda: rng.normal(shape))
        z = self._likelihood_step(x_u, s.sigma, like, rng) if s.sigma else x_u
        return State(z, s, state.n, x0)

    def _likelihood_step(self, x: Tensor, rho: float, like: Likelihood, rng: Rng) -> Tensor:
        """z ~ p(y | z) N(z; x, rho^2 I)."""
        if isinstance(like, Spectral):
            return _towards_y(x, rho, like, rng.normal(x.shape[1:]))
        return langevin(x, rho, like, min(self.step_size, rho**2 / 2), self.langevin_steps, rng)


def _towards_y(x: Tensor, rho: float, like: Spectral, noise: Tensor) -> Tensor:
    """z ~ p(y | z) N(z; x, rho^2 I)."""
    (y, std), c, e = like.spectrum(), like.Vt(x), like.Vt(noise)
    gain = rho**2 / (rho**2 + std.square())
    measured = gain * (y - c) + ((1 - gain).sqrt() - 1) * rho * e
    return x + rho * noise + like.V(measured)

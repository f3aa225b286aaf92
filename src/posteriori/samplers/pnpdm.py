"""PnP-DM: Gibbs sampling between the measurement and the prior, which an annealed coupling holds together."""

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
    """Split Gibbs: x of the prior and z of the likelihood in turn, N(z; x, rho^2 I) between them, with rho falling.

    x_t is z, and rho its level (variance exploding):

        x ~ p(x_0 = x | z = x + rho eps)         the reverse process from rho to 0, ``inner`` steps
        z ~ p(y | z) N(z; x, rho^2 I)            with the next rho: exactly, through the SVD; else by Langevin steps

    The result is the last x. At one rho the chain's x has the law p(x) N(y; A x, sigma_y^2 I + rho^2 A A^T).

    Paper: Wu et al. 2024, "Principled probabilistic imaging using diffusion models as plug-and-play priors",
    algorithm 1 and eq. 4 to 7.

    Operators and noise: any. Cost: ``inner`` network calls a step, 2,000 by default; gradients through A alone, and
    those only without an SVD or with other than Gaussian noise.

    Without an SVD z starts at x, the first one at noise, and takes ``langevin_steps`` of
    z <- z + eta (grad log p(y | z) + (x - z) / rho^2) + sqrt(2 eta) eps: the code's form for nonlinear operators, with
    its 100 steps of eta = 1e-4. Stable where eta is below twice the variance that y and rho leave in any direction.

    Exact in the limit of rho_min to 0, of inner steps, and of steps the faster the more modes lie apart: a chain that
    is to move between modes D apart needs about exp(D^2 / (8 rho^2)) steps at rho, and what it settled at larger rho
    it keeps. 20 inner steps leave the covariance of x given z 20 to 26% short, 100 leave it 5 to 6%.

    The paper's rho falls by a fixed factor to its least value and stays there; here the factor is such that the last
    step is at rho_min. The code's default prior step is the probability-flow ODE, which draws nothing: its x is one
    that z tells, not a sample given z. Here it is stochastic (the code's "sde" modes). Its levels are EDM's.
    """

    name: ClassVar[str] = "pnpdm"
    requires: ClassVar[type[Likelihood]] = Likelihood

    steps: Annotated[int, Ge(1), "Gibbs steps, from rho_max to rho_min"] = 100
    inner: Annotated[int, Ge(1), "network calls of a prior step"] = 20
    rho_max: Annotated[float, Gt(0), "the first coupling, on the [-1, 1] scale"] = 10.0
    rho_min: Annotated[float, Gt(0), "the last coupling, on the [-1, 1] scale"] = 0.1
    langevin_steps: Annotated[int, Ge(1), "steps to y at each rho, where there is no SVD"] = 100
    step_size: Annotated[float, Gt(0), "length eta of such a step; at most rho^2 / 2 is taken"] = 1e-4
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
        x, t, shape = state.x, state.level, state.x.shape[1:]
        x0 = x
        for u, v in pairwise(prior.schedule.falling(t.sigma, min(t.sigma / 2, 0.01), self.inner)):
            x0 = prior.estimate(x, u, self.clip).x0
            x = reverse(x, x0, u, v, lambda: rng.normal(shape))
        z = self._likelihood_step(x, s.sigma, like, rng) if s.sigma else x
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

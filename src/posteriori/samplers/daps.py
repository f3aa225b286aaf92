"""DAPS: an estimate of x_0 by the reverse process, Langevin steps towards the measurement, then noise again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Gt

from posteriori.errors import PosterioriError
from posteriori.kernels import forward, reverse
from posteriori.likelihoods.base import Additive, Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler, State
from posteriori.samplers.langevin import langevin
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True, kw_only=True)
class DAPS(Sampler):
    """Decoupled annealing: at each noise level, draw x_0 given x_t and y, then add the noise of the next level.

    At each level sigma_t (variance exploding), x0 comes from ``ode_steps`` of the probability-flow ODE that starts at
    x_t. Then ``langevin_steps`` sample p(x_0 | x_t, y), with p(x_0 | x_t) approximated by N(x0, sigma_t^2 I):

        x <- x + eta_t ((x0 - x) / sigma_t^2 + grad log p(y | x)) + sqrt(2 eta_t) eps

    Finally x_s = x + sigma_s eps. eta_t falls from ``step_size`` to a hundredth of it. Levels are EDM's, with evenly
    spaced sigma^(1/7): from ``sigma_max`` towards ``sigma_min``, and within the ODE from sigma_t towards 0.01.

    Paper: Zhang et al. 2025, "Improving diffusion inverse problem solving with decoupled noise annealing", algorithm 1.

    Operators and noise: any; ``tau`` requires Gaussian noise. Cost: steps * ode_steps network calls, 1,000 by default;
    gradients through A only.

    The published likelihood is tempered. Its gradient is -grad |y - A x|^2 / tau^2, without a factor 1/2, and tau =
    0.01 for noise of 0.05: it treats y as if its noise were tau / sqrt(2) = 0.007. This is the default. ``tau`` none
    uses the likelihood itself. The paper's code has step_size 5e-5 for inpainting, the default, and 1e-4 for blur and
    super-resolution. Its ODE stops at 0.01; here the last step goes to 0. At level k of N, its eta_t has moved k / (N +
    1) of the way to its last value; here k / N.

    N(x0, sigma_t^2 I) is accurate at low noise if x0 is the mean of p(x_0 | x_t), which is ``ode_steps`` 1. The ODE's
    x0 is more like a sample of it, and well-mixed Langevin steps add its variance again: a Gaussian gets twice its
    variance.
    """

    name: ClassVar[str] = "daps"
    requires: ClassVar[type[Likelihood]] = Likelihood
    strength: ClassVar[str] = "step_size"

    steps: Annotated[int, Ge(1), "noise levels, from sigma_max towards sigma_min"] = 200
    ode_steps: Annotated[int, Ge(1), "network calls at each level"] = 5
    langevin_steps: Annotated[int, Ge(1), "Langevin steps at each level"] = 100
    step_size: Annotated[
        float, Gt(0), "length of a Langevin step at the first level; must be below tau^2 if |A| = 1"
    ] = 5e-5
    tau: Annotated[float | None, Gt(0), "likelihood as if the noise were tau / sqrt(2); none: the noise given"] = 0.01
    sigma_max: Annotated[float, Gt(0), "the first level, on the [-1, 1] scale"] = 100.0
    sigma_min: Annotated[float, Gt(0), "the last level, on the [-1, 1] scale"] = 0.1
    clip: Annotated[bool, "clamp the estimates of x_0 to the prior's bounds"] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma_min < self.sigma_max:
            raise PosterioriError(
                f"sigma_min is {self.sigma_min}, sigma_max {self.sigma_max}: give a sigma_min below sigma_max"
            )

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.falling(self.sigma_max, self.sigma_min, self.steps)

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        t, shape = state.level, state.x.shape[1:]
        x_u = state.x
        for u, v in pairwise(prior.schedule.falling(t.sigma, min(t.sigma, 0.01), self.ode_steps)):
            x_u = reverse(x_u, prior.estimate(x_u, u, self.clip).x0, u, v, lambda: rng.normal(shape), eta=0.0)
        x0 = x_u  # the last level is 0
        eta = self.step_size * (1 - 0.99 * _passed(t.sigma, self.sigma_max, self.sigma_min))
        target = like.with_sigma(self.tau / math.sqrt(2)) if self.tau and isinstance(like, Additive) else like
        x = langevin(x0, t.sigma, target, eta, self.langevin_steps, rng)
        x = forward(x, s, rng.normal(shape))
        return State(x, s, state.n, x0)


def _passed(sigma: float, first: float, last: float) -> float:
    """The share of the way from ``first`` to ``last`` at ``sigma``."""
    return (first ** (1 / 7) - sigma ** (1 / 7)) / (first ** (1 / 7) - last ** (1 / 7))

"""Annealed Langevin dynamics on the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Gt

from posteriori.likelihoods.base import Additive, Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler, State
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True, kw_only=True)
class AnnealedLangevin(Sampler):
    """Langevin steps on the posterior, at one noise level after the other.

    At each of ``levels`` noise levels sigma_t, ``inner`` steps of

        x <- x + eta_t (score(x, sigma_t) + A^T (y - A x) / (gamma_t^2 + sigma_y^2)) + sqrt(2 eta_t) z

    with eta_t = ``step_size`` sigma_t^2. Levels are variance exploding, x_t = x_0 + sigma_t eps, and spaced
    geometrically over the schedule. The residual is that of x itself, so that no gradient goes through the network.
    gamma_t = ``gamma`` sigma_t accounts for the noise still in x. The last step returns the denoiser's mean.

    Paper: Jalal et al. 2021, "Robust compressed sensing MRI with deep generative priors", eq. 3 and algorithm 1.

    The paper's code rescales A^T (y - A x) to 5 times the norm of the score, so that gamma_t and sigma_y have no
    effect. Its eta_t is 1.15 sigma_t^2, and it returns the last x itself.
    """

    name: ClassVar[str] = "annealed-langevin"
    requires: ClassVar[type[Likelihood]] = Additive
    strength: ClassVar[str] = "step_size"
    count: ClassVar[str] = "levels"

    levels: Annotated[int, Ge(1), "noise levels, from the schedule's last to its first"] = 250
    inner: Annotated[int, Ge(1), "Langevin steps at each level"] = 3
    step_size: Annotated[float, Gt(0), "length eta_t of a step, in units of sigma_t^2"] = 0.1
    gamma: Annotated[float, Ge(0), "noise added to that of the measurement, in units of sigma_t"] = 1.0
    clip: Annotated[bool, "clamp the recorded estimate of x_0 to the prior's bounds"] = True

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.geometric(*schedule.sigma_bars, self.levels)

    def step(self, state: State, s: Level, prior: Prior, like: Additive, rng: Rng) -> State:
        x, t = state.x, state.level
        eta = self.step_size * t.sigma**2
        widened = like.widen(self.gamma * t.sigma)
        x0 = x
        for _ in range(self.inner):
            x0 = prior.denoise(x, t).x0
            score = (x0 - x) / t.sigma**2 + widened.score(x)
            x = x + eta * score + math.sqrt(2 * eta) * rng.normal(x.shape[1:])
        if s.sigma == 0:
            x = x0 = prior.denoise(x, t).x0
        return State(x, s, state.n, prior.clamp(x0) if self.clip else x0)

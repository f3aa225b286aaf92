"""MGDM: Gibbs steps between x_t, x_0 and a cleaner x_tau, which sees y."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.gradients import Adam, value_and_gradient
from posteriori.kernels import bridge, reverse
from posteriori.likelihoods.base import Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, SteppedSampler, Steps
from posteriori.schedule import CLEAN, Level

#: shares of the schedule: the least time of tau, where its draws end, and where the rate's first third does
_LEAST, _LATE, _EARLY = 0.01, 0.28, 0.87


@final
@dataclass(frozen=True, kw_only=True)
class MGDM(SteppedSampler):
    """Mixture-guided diffusion: p(y | x_t) as a mixture over times tau < t of p(y | x0hat(x_tau)), by Gibbs sampling.

    With q the forward process's bridge, ``repeats`` times at each level t, between the levels r above and s below:

        x_tau ~ q(x_tau | x_t, x_0) p(y | x0hat(x_tau))    approximated by N(m, diag(e^2)), fitted from q's mean and
                                                           deviation in ``gradient_steps`` of Adam on the KL divergence
        x_0 ~ p(x_0 | x_tau)                               DDPM, ``denoising_steps`` network calls
        x_t ~ q(x_t | x_r, x_tau)

    and then x_s ~ q(x_s | x_t, x_0). The first step goes to the second level without y. The result is the last x_0.

    Paper: Janati et al. 2025, "A mixture-based framework for guiding diffusion models".

    Operators and noise: any with a density. Cost a step: ``gradient_steps`` calls and vjps, ``denoising_steps`` calls.

    Defaults are those of the paper's code for FFHQ. It draws tau uniformly from a hundredth of the schedule up to s,
    with tau = s and 20 gradient steps in the last 28% of the steps, and a third of the learning rate in the first 13%.
    Here these shares are of the time s. tau is one for all samples, as in the code, but follows van der Corput's
    sequence, so that no sample depends on its batch. The code's 20 denoising steps are 19 calls, and it does not clamp.
    """

    name: ClassVar[str] = "mgdm"
    strength: ClassVar[str] = "learning_rate"
    steps: Steps = 100
    repeats: Annotated[int, Ge(1), "Gibbs steps at each level"] = 1
    gradient_steps: Annotated[int, Ge(1), "Adam steps at each x_tau"] = 5
    late_steps: Annotated[int, Ge(1), "Adam steps at each x_tau in the last 28% of the schedule"] = 20
    denoising_steps: Annotated[int, Ge(1), "network calls from x_tau to x_0, at most one per level"] = 20
    learning_rate: Annotated[float, Gt(0), "Adam's, for means on the [-1, 1] scale and for log deviations"] = 0.03
    clip: Annotated[bool, "clamp the estimates of x_0 to the prior's bounds"] = True

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        t, x_t, x0, k = state.level, state.x, state.x0, 0
        share = s.t / prior.schedule.end
        draw = lambda mean, std: mean + std * rng.normal(prior.shape)  # noqa: E731
        if x0 is None:
            x0 = prior.estimate(x_t, t, self.clip).x0
        elif s.sigma:
            r, x_r, k = state.carry
            tau = s if share < _LATE else prior.schedule.level(prior.schedule.end * _between(share, k))
            for _ in range(self.repeats):
                x_tau = self._towards_y(*bridge(x_t, x0, t, tau), tau, share, prior, like, rng)
                x0 = self._denoised(x_tau, tau, prior, rng)
                x_t = draw(*bridge(x_r, x_tau, r, t, tau))
        x_s = draw(*bridge(x_t, x0, t, s)) if s.sigma else x0
        return State(x_s, s, state.n, x0, carry=(t, x_t, k + 1))

    def _towards_y(self, mean: Tensor, std: float, tau: Level, share: float, prior: Prior, like: Likelihood, rng: Rng):
        """x_tau of about N(mean, std^2 I) p(y | x0hat(x_tau)), at a ``share`` of the schedule."""
        own = torch.stack([mean, torch.full_like(mean, math.log(std))])
        adam, rate = Adam.at(own), self.learning_rate / (3 if share > _EARLY else 1)
        for _ in range(self.late_steps if share < _LATE else self.gradient_steps):
            noise = own[1].exp() * rng.normal(prior.shape)
            denoised, vjp = prior.linearise(own[0] + noise, tau, self.clip)
            g = (own[0] + noise - mean) / std**2 - vjp(value_and_gradient(like.log_prob, denoised.x0)[1])
            direction, adam = adam.step(torch.stack([g, g * noise - 1]))
            own = own - rate * direction
        return own[0] + own[1].exp() * rng.normal(prior.shape)

    def _denoised(self, x: Tensor, tau: Level, prior: Prior, rng: Rng) -> Tensor:
        """x_0 ~ p(x_0 | x_tau), by DDPM at even times."""
        steps = max(1, min(self.denoising_steps, round(tau.t / prior.schedule.first)))
        between = (prior.schedule.level(tau.t * k / steps) for k in range(steps - 1, 0, -1))
        for u, v in pairwise([tau, *between, CLEAN]):
            x = reverse(x, prior.estimate(x, u, self.clip).x0, u, v, lambda: rng.normal(prior.shape))
        return x


def _between(share: float, k: int) -> float:
    """The k-th point of van der Corput's sequence, scaled to s: k's binary digits, mirrored at the point."""
    return _LEAST + int(f"{k:b}"[::-1], 2) / 2 ** k.bit_length() * (share - _LEAST)

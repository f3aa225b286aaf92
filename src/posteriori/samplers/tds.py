"""TDS: sequential Monte Carlo towards the posterior, with the denoiser's likelihood as twist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Gt

from posteriori.gradients import value_and_gradient
from posteriori.kernels import reverse, small_std
from posteriori.likelihoods.base import Likelihood, Marginal
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, Stats, SteppedSampler, Steps
from posteriori.samplers.particles import resample
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class TDS(SteppedSampler):
    """Twisted diffusion sampler: guided reverse steps of n particles, with weights that correct the guidance.

    With x0 = E[x_0 | x_t], sigma_bar = sigma_t / alpha_t and r_t^2 = v sigma_bar^2 / (v + sigma_bar^2), the twist is

        p~_t = log N(y; A x0, sigma_y^2 I + r_t^2 A A^T),    p~_0 = log N(y; A x_0, sigma_y^2 I).

    Particles are resampled by w_t. They move by q = reverse(x_t, x0 + sigma_t^2 / alpha_t grad_{x_t} p~_t) instead of p
    = reverse(x_t, x0), and get the weights log w_s = p~_s - p~_t + log p(x_s | x_t) - log q(x_s | x_t). The samples of
    a measurement are its particles, after a last resampling by the likelihood itself.

    Paper: Wu et al. 2023, "Practical and asymptotically exact conditional sampling in diffusion models", algorithm 1.

    Operators: with an SVD, and sigma_y > 0. Cost: one network call and one vjp a step and particle.

    As particles grow, it becomes exact for the prior of the discretised reverse process; for the prior itself, many
    steps are needed, too. This holds for any v, which only changes how many particles are needed.

    The paper's code resamples at every step. Here particles are resampled if fewer than half are effective, which keeps
    more distinct ones. The code's inpainting has no sigma_y, and sets the pixels to y at the end. Reverse steps have
    the small variance, as in the paper; the code takes a learned one if the network has it.
    """

    name: ClassVar[str] = "tds"
    requires: ClassVar[type[Likelihood]] = Marginal
    interacting: ClassVar[bool] = True

    steps: Steps = 100
    data_var: Annotated[float, Gt(0), "assumed variance v of the data, on the [-1, 1] scale"] = 1.0
    clip: Annotated[bool, "clamp the estimates of x_0 to the prior's bounds"] = True

    def init(self, t: Level, prior: Prior, like: Marginal, rng: Rng, n: int) -> State:
        state = super().init(t, prior, like, rng, n)
        state.carry = state.x.new_zeros(len(state.x), dtype=torch.float64)  # log w_t - p~_t
        return state

    def step(self, state: State, s: Level, prior: Prior, like: Marginal, rng: Rng) -> State:
        t, last = state.level.with_signal(), s.sigma == 0
        denoised, vjp = prior.linearise(state.x, t, self.clip)
        log_prob = lambda x0: like.log_prob(x0, self.twist_var(t, s)).double()  # noqa: E731
        twist, towards_y = value_and_gradient(log_prob, denoised.x0)
        g = vjp(towards_y)
        rows, log_w, ess = resample(state.carry + twist, state.n, rng, last=last)
        x, x0, g, twist = (value[rows] for value in (state.x, denoised.x0, g, twist))
        stats = Stats(gradient=lambda: g.flatten(1).norm(dim=1), ess=lambda: ess)
        if last:
            return State(x0, s, state.n, x0, stats, log_w)
        guided = x0 + t.sigma**2 / t.alpha * g
        guided = prior.clamp(guided) if self.clip else guided
        noise, std = rng.normal(x.shape[1:]), small_std(t, s)
        x_s = reverse(x, guided, t, s, lambda: noise)
        shift = ((x_s - reverse(x, x0, t, s, lambda: noise)) / std).flatten(1).double()
        log_ratio = -(shift * (noise.flatten(1) + shift / 2)).sum(1)  # log p(x_s | x_t) - log q(x_s | x_t)
        return State(x_s, s, state.n, x0, stats, log_w - twist + log_ratio)

    def twist_var(self, t: Level, s: Level) -> float:
        """r_t^2; 0 if the step from t ends in x0 itself."""
        return 1 / (1 / self.data_var + (t.alpha / t.sigma) ** 2) if s.sigma else 0.0

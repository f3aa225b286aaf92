"""DCPS: the schedule is split into blocks, and each block steps towards a measurement of the state at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.gradients import value_and_gradient
from posteriori.kernels import bridge
from posteriori.likelihoods.base import Additive, Likelihood
from posteriori.linalg import per_row
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, SteppedSampler, Steps
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True, kw_only=True)
class DCPS(SteppedSampler):
    """Divide and conquer: in each block of the schedule, y is treated as a measurement of x_k, the state at its end.

    The block's target is p(x_k) N(y; A(x_k / alpha_k), (sigma_y / alpha_k)^2 I). For the last block this is the
    posterior. Let q(x_k | x) be the forward process's bridge from x to x0hat(x), of which x_k is drawn. The steps are

        x <- x + g / (1 / gamma + |g|) + sqrt(2 gamma) eps    ``langevin_steps`` at the start of a block, where g is the
                                                              gradient of log p(x) + log p(y | mean of q)
        x_s ~ p(x_s | x_t) E[p(y | x_k) | x_s]                at each level, approximated by N(m, diag(e^2)), fitted in
                                                              ``gradient_steps`` on the KL divergence

    The fit starts at DDPM's mean and deviation. Its steps of m and log e have length ``step_length``. The result is the
    last x0hat.

    Paper: Janati et al. 2024, "Divide-and-conquer posterior sampling for denoising diffusion priors", algorithm 1.

    Operators: any, with Gaussian noise above 0. Cost: 1 + ``gradient_steps`` network calls a step, all but one with a
    vjp, and ``langevin_steps`` of both for each block: about 900 calls and 600 vjps by default.

    Defaults are those of the paper's code. It writes the likelihood as N(alpha_k y; A(x_k), sigma_y^2 I), which is the
    same for a linear A. It returns the state before the last call, truncates times, and does not clamp.
    """

    name: ClassVar[str] = "dcps"
    requires: ClassVar[type[Likelihood]] = Additive
    strength: ClassVar[str] = "step_length"
    lengths: ClassVar[tuple[str, ...]] = ("step_length",)

    steps: Steps = 300
    blocks: Annotated[int, Ge(1), "number of blocks, of equal length"] = 3
    gradient_steps: Annotated[int, Ge(1), "steps on the KL divergence at each level"] = 2
    step_length: Annotated[float, Gt(0), "length of these steps, L2 over the whole image on the [-1, 1] scale"] = 1.5
    langevin_steps: Annotated[int, Ge(1), "Langevin steps at the start of each block"] = 5
    gamma: Annotated[float, Gt(0), "length of a Langevin step"] = 1e-3
    clip: Annotated[bool, "clamp the estimates of x_0 to the prior's bounds"] = True

    def path(self, schedule: Schedule) -> list[Level]:
        return [schedule.level(schedule.end * i / self.steps) for i in range(self.steps, -1, -1)]

    def step(self, state: State, s: Level, prior: Prior, like: Additive, rng: Rng) -> State:
        t, x, k, shape = state.level, state.x, state.carry, prior.shape
        if k is None or t.t <= k.t:
            block = (round(t.t / prior.schedule.end * self.steps) * self.blocks - 1) // self.steps
            k = self.path(prior.schedule)[self.steps - block * self.steps // self.blocks]
            for _ in range(self.langevin_steps):
                x0, towards_y = self._towards_y(x, t, k, 0.0, prior, like)
                g = towards_y + (t.alpha * x0 - x) / t.sigma**2
                x = x + g / (1 / self.gamma + _norm(g)) + math.sqrt(2 * self.gamma) * rng.normal(shape)
        x0 = prior.estimate(x, t, self.clip).x0
        if not s.sigma:
            return State(x0, s, state.n, x0)
        mean, std = bridge(x, x0, t, s)
        own = torch.stack([mean, torch.full_like(mean, math.log(std))])
        for _ in range(self.gradient_steps):
            noise = own[1].exp() * rng.normal(shape)
            _, towards_y = self._towards_y(own[0] + noise, s, k, rng.normal(shape), prior, like)
            of_deviation = (2 * (own[1] - math.log(std))).exp() - 1 - noise * towards_y
            g = torch.stack([(own[0] - mean) / std**2 - towards_y, of_deviation])
            own = own - self.step_length * g / torch.stack([_norm(part) for part in g]).clamp(min=1e-8)
        return State(own[0] + own[1].exp() * rng.normal(shape), s, state.n, x0, carry=k)

    def _towards_y(self, x: Tensor, t: Level, k: Level, noise: Tensor | float, prior: Prior, like: Additive):
        """x0hat(x), and the gradient of log p(y | x_k) at ``x`` for x_k = q's mean + its deviation * ``noise``."""
        denoised, vjp = prior.linearise(x, t, self.clip)

        def log_prob(pair: Tensor) -> Tensor:
            mean, std = bridge(pair[0], pair[1], t, k)
            return like.with_sigma(like.sigma / k.alpha).log_prob((mean + std * noise) / k.alpha)

        _, (at_x, at_x0) = value_and_gradient(log_prob, torch.stack([x, denoised.x0]))
        return denoised.x0, at_x + vjp(at_x0)


def _norm(x: Tensor) -> Tensor:
    return per_row(x.flatten(1).norm(dim=1), x)

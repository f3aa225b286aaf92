"""What DPS and ScoreALD share: a reverse step, then a step down the residual's gradient."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from posteriori.gradients import value_and_gradient
from posteriori.guidance.base import ReverseSampler
from posteriori.likelihoods.base import Likelihood
from posteriori.linalg import per_row
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, Stats
from posteriori.schedule import Level


@dataclass(frozen=True, kw_only=True)
class GuidedSampler(ReverseSampler):
    """x_s = reverse(x_t) - correction(g) with g = grad_{x_t} |y - A(x0hat(x_t))|_2, the norm of the misfit, per sample.

    The gradient goes through the network: each step costs a forward and a backward pass.
    """

    @abstractmethod
    def correction(self, g: Tensor, norm: Tensor, residual: Tensor, u: float) -> Tensor:
        """What is subtracted, (B, *shape). ``norm`` |g|_2 and ``residual`` |y - A(x0hat)|_2 broadcast.

        ``u`` is t divided by the schedule's end, from 1 (noisy) to 0 (clean).
        """

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        t = state.level
        denoised, vjp = prior.linearise(state.x, t, self.clip)
        residual, towards_y = value_and_gradient(lambda x0: like.misfit(x0).norm(dim=1), denoised.x0)
        # without signal g is rounding error, and a step of unit length would follow it
        g = vjp(towards_y) if t.alpha else torch.zeros_like(towards_y)
        norm = g.flatten(1).norm(dim=1)
        x = self.reverse(state.x, denoised, t, s, rng)
        x = x - self.correction(g, per_row(norm, g), per_row(residual, g), t.t / prior.schedule.end)
        return State(x, s, state.n, denoised.x0, Stats(residual=lambda: residual, gradient=lambda: norm))

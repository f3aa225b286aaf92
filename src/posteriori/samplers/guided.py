"""What DPS and ScoreALD share: a reverse step, then a step down the residual's gradient."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from posteriori.likelihood import Likelihood
from posteriori.priors.base import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import State
from posteriori.samplers.ddim import ReverseSampler
from posteriori.schedule import Level


@dataclass(frozen=True, kw_only=True)
class GuidedSampler(ReverseSampler):
    """x_s = reverse(x_t) - correction(g) with g = grad_{x_t} |y - A(x0hat(x_t))|_2, per sample.

    The gradient goes through the network: one step costs a forward and a backward pass.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.lengths:
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} is {getattr(self, name)}: give a finite number from 0 up")

    @abstractmethod
    def correction(self, g: Tensor, norm: Tensor, residual: Tensor, u: float) -> Tensor:
        """What is subtracted, (B, *shape); ``norm`` |g|_2 and ``residual`` |y - A(x0hat)|_2 broadcast; u = t / T."""

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        with torch.enable_grad():
            x_t = state.x.detach().requires_grad_()
            x0, fraction = self.denoise(x_t, state.level, prior)
            residual = like.residual(x0).norm(dim=1)
            (g,) = torch.autograd.grad(residual.sum(), x_t)
        residual = residual.detach()
        denoised = Denoised(x0.detach(), None if fraction is None else fraction.detach())
        norm = g.flatten(1).norm(dim=1)
        x = self.reverse(state.x, denoised, state.level, s, rng)
        per_image = (-1, *[1] * (g.ndim - 1))
        u = state.level.t / prior.schedule.T
        x = x - self.correction(g, norm.view(per_image), residual.view(per_image), u)
        return State(x, s, state.n, denoised.x0, {"residual": residual, "gradient": norm})

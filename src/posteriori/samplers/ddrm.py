"""DDRM: a reverse process for every singular value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Le

from posteriori.kernels import implicit
from posteriori.likelihoods.base import Likelihood, Spectral
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, SteppedSampler, Steps
from posteriori.schedule import Level, Spacing


@final
@dataclass(frozen=True, kw_only=True)
class DDRM(SteppedSampler):
    """In the operator's singular basis, each coordinate follows the measurement down to its noise, then the prior.

    Let c = V^T x / alpha, c0 = V^T E[x_0 | x_t] and sigma = sigma_s / alpha_s. Coordinate i is measured as y_i = (U^T
    y)_i / s_i, with noise std_i = sigma_y / s_i. Coordinate i of x_s / alpha_s is drawn from

        N(c0 + sqrt(1 - eta^2) sigma (c_t - c0) / (sigma_t / alpha_t), eta^2 sigma^2)    not measured
        N(c0 + sqrt(1 - eta^2) sigma (y - c0) / std, eta^2 sigma^2)                      sigma < std
        N((1 - eta_b) c0 + eta_b y, sigma^2 - eta_b^2 std^2)                             sigma >= std

    The first level is drawn from N(y, sigma^2 - std^2), or from N(0, sigma^2) if not measured or sigma < std.

    Paper: Kawar et al. 2022, "Denoising diffusion restoration models", eq. 7 and 8.

    Operators: with an SVD. Singular values up to its cut-off count as not measured: if they counted, the noise of y
    would replace what x_t knows in many more coordinates. (A 64 x 64 face blurred by 3 pixels would gain 0.5 dB at
    sigma_y = 0.01, but lose 0.2 dB at 0.05 and 0.4 dB at 0.2.) Cost: one network call a step, no gradients.

    For eta > 0 the prior is not recovered without data, in any number of steps, since fresh noise replaces information
    in x_t. A Gaussian keeps (1 + sqrt(1 - eta^2)) / 2 of its variance, 0.76 by default.

    The paper's code doubles sigma_y, since its images are on [-1, 1] and its sigma_y on [0, 1]; here both are on [-1,
    1]. It scales the first state by alpha / sigma instead of alpha. If sigma_y = 0, its last step ignores the
    measurement, though sigma >= std.
    """

    name: ClassVar[str] = "ddrm"
    requires: ClassVar[type[Likelihood]] = Spectral

    steps: Steps = 20
    spacing: Annotated[Spacing, "which levels, as in ddim"] = "leading"
    eta: Annotated[
        float, Ge(0), Le(1), "share of a level's noise drawn afresh in coordinates that follow the prior"
    ] = 0.85
    eta_b: Annotated[float, Ge(0), Le(1), "weight of the measurement in coordinates that follow it"] = 1.0
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def init(self, t: Level, prior: Prior, like: Spectral, rng: Rng, n: int) -> State:
        state, like = super().init(t, prior, like, rng, n), like.truncated()
        t = t.with_signal()
        (y, std), sigma, c = like.spectrum(), t.sigma_bar, like.Vt(state.x)
        z = c / math.hypot(t.alpha, t.sigma)
        measured = t.alpha * (y + (sigma**2 - std.square()).clamp(min=0).sqrt() * z)
        state.x = state.x + like.V(torch.where(std < sigma, measured, c) - c)
        return state

    def step(self, state: State, s: Level, prior: Prior, like: Spectral, rng: Rng) -> State:
        x_t, t, sigma, like = state.x, state.level, s.sigma_bar, like.truncated()
        x0 = prior.estimate(x_t, t, self.clip).x0
        noise = rng.normal(x_t.shape[1:])
        x_s = implicit(x_t, x0, t, s, self.eta * s.sigma, lambda: noise)
        (y, std), c0, z = like.spectrum(), like.Vt(x0), like.Vt(noise)
        below = c0 + math.sqrt(1 - self.eta**2) * sigma * (y - c0) / std + self.eta * sigma * z
        drawn = (sigma**2 - (self.eta_b * std).square()).clamp(min=0).sqrt() * z
        above = (1 - self.eta_b) * c0 + self.eta_b * y + drawn
        x_s = x_s + like.V(s.alpha * torch.where(sigma < std, below, above) - like.Vt(x_s))
        return State(x_s, s, state.n, x0)

"""MCGDiff: sequential Monte Carlo along a forward path that passes through the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor

from posteriori.kernels import reverse
from posteriori.likelihoods.base import Likelihood, Spectral
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, Stats, SteppedSampler, Steps
from posteriori.samplers.particles import resample
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class MCGDiff(SteppedSampler):
    """Monte Carlo guided diffusion: n particles pass through y, each measured coordinate at the level of its noise.

    In the operator's singular basis, c = V^T x / alpha, c0 = V^T E[x_0 | x_t] and sigma = sigma_t / alpha_t. Coordinate
    i is measured as y_i = (U^T y)_i / s_i, with noise std_i = sigma_y / s_i. So y_i has the law of c_i at the level
    sigma = std_i. Above this level, N(c_i; y_i, sigma^2 - std_i^2), the forward process from y_i, keeps particles near
    y. A reverse step N(m, v) from t to s, with the small variance, goes to e = max(sigma_s, std_i):

        weight N(y_i; m, v + e^2 - std_i^2) / N(c_i; y_i, sigma_t^2 - std_i^2)
        draw c_i ~ N(m, v) N(c_i; y_i, e^2 - std_i^2)

    If e > sigma_s, the step continues from c_i = y_i to sigma_s. Below std_i, coordinate i follows the prior alone.

    Paper: Cardoso et al. 2024, "Monte Carlo guided denoising diffusion models for Bayesian linear inverse problems",
    algorithms 1 and 2.

    Operators: with an SVD. Cost: one network call a step and particle, no gradients.

    Exact in the limit of many particles and steps. A coordinate whose std_i is above the first level is not used. One
    within 1e-4 of a level is moved to that level.

    The paper's code rounds each std_i to a level, adds kappa = 1e-4 to the variance about y, and resamples at every
    step by independent draws. It divides by N(c; y, kappa) at every crossing, which depends on each particle's own draw
    about y, so that a few particles outweigh all others. Here the step that crosses std_i stops exactly at y, which
    needs no such weight, and particles are resampled if fewer than half are effective.
    """

    name: ClassVar[str] = "mcgdiff"
    requires: ClassVar[type[Likelihood]] = Spectral
    interacting: ClassVar[bool] = True

    steps: Steps = 100
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def init(self, t: Level, prior: Prior, like: Spectral, rng: Rng, n: int) -> State:
        state = super().init(t, prior, like, rng, n)
        t = t.with_signal()
        sigma, c = t.sigma_bar, like.Vt(state.x) / t.alpha
        y, std = _measured(like, sigma)
        held = (sigma**2 - std.square()).clamp(min=0)
        gain = 1 / (1 + held / (1 + sigma**2))
        state.x = state.x + like.V(t.alpha * (gain * y + (1 - gain).sqrt() * c - c).where(std < sigma, 0.0))
        state.carry = state.x.new_zeros(len(state.x), dtype=torch.float64)
        return state

    def step(self, state: State, s: Level, prior: Prior, like: Spectral, rng: Rng) -> State:
        t = state.level.with_signal()
        sigma_t, sigma_s = t.sigma_bar, s.sigma_bar
        x0 = prior.estimate(state.x, t, self.clip).x0
        (y, std), c, c0 = _measured(like, sigma_t, sigma_s), like.Vt(state.x) / t.alpha, like.Vt(x0)
        active = std < sigma_t
        e2 = std.clamp(min=sigma_s).square()
        share = (e2 / sigma_t**2).clamp(max=1)
        m, v, held = c0 + share * (c - c0), e2 * (1 - share), e2 - std.square()
        # without noise the last step sets y: its kernel has no density, and gives no weight
        weighed = active & (v + held > 0)
        before, after = (variance.where(weighed, 1.0) for variance in (sigma_t**2 - std.square(), v + held))
        weight = ((y - c).square() / before - (y - m).square() / after + (before / after).log()) / 2
        carried = state.carry + weight.where(weighed, 0.0).double().sum(1)
        rows, log_w, ess = resample(carried, state.n, rng, last=s.sigma == 0)
        x, x0, m, c0 = (value[rows] for value in (state.x, x0, m, c0))
        noise = rng.normal(x.shape[1:])
        x_s, z = reverse(x, x0, t, s, lambda: noise), like.Vt(noise)
        gain = torch.where(weighed, v / (v + held), 1.0)
        at_e = m + gain * (y - m) + (held * gain).sqrt() * z
        on = torch.where(std > sigma_s, sigma_s**2 / e2, 1.0)  # from e to s, with the same x0
        c_s = c0 + on * (at_e - c0) + sigma_s * (1 - on).sqrt() * z
        x_s = x_s + like.V((s.alpha * c_s - like.Vt(x_s)).where(active, 0.0))
        return State(x_s, s, state.n, x0, Stats(ess=lambda: ess), log_w)


def _measured(like: Spectral, *sigmas: float) -> tuple[Tensor, Tensor]:
    """y and std, moved to a level that it nearly equals: in float32 there would be no variance left between the two."""
    y, std = like.spectrum()
    for sigma in sigmas:
        std = torch.where((std - sigma).abs() < 1e-4 * sigma, sigma, std)
    return y, std

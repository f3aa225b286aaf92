"""DDNM and DDNM+: the part of x_0 that is measured is replaced, as far as the measurement's noise allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Le
from torch import Tensor

from posteriori.guidance.base import Guidance
from posteriori.kernels import implicit, small_std
from posteriori.likelihoods.base import Likelihood, Spectral
from posteriori.priors.base import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import State, Steps
from posteriori.schedule import Level, Spacing


@final
@dataclass(frozen=True, kw_only=True)
class DDNM(Guidance):
    """The null-space model: x_0's measured part is replaced by the measurement; DDNM+ where there is noise.

    With x0 = E[x_0 | x_t], x0hat = x0 + A^+ (y - A x0) and x_s ~ q(x_s | x_t, x0hat): without noise A x = y exactly.
    With noise each singular value s_i has its own factor lambda_i before y - A x0, and its own variance gamma_i of
    what is drawn. Where x_s = kappa x_t + a x0hat + std eps, the measurement brings noise of a lambda_i sigma_y / s_i:

        lambda_i = min(1, std s_i / (a sigma_y)),   gamma_i = std^2 - (a lambda_i sigma_y / s_i)^2

    Paper: Wang et al. 2023, "Zero-shot image restoration using denoising diffusion null-space model", algorithm 1;
    with noise, eq. 17 to 19, and 51 without its DDIM form, in which a coordinate that trusts y in part has only
    sqrt(1 - eta^2) of this lambda_i, and draws eta^2 of the level's variance.

    Operators: with an SVD; singular values up to its cut-off count as not measured. Cost: one network call a step, no
    gradients. (With them all that is drawn there is the noise of y, the same at every step, and adds up: the PSNR of a
    64 x 64 face blurred by 1.5 pixels, at sigma_y = 0.01, falls from 26 dB to 10.)

    The code is not the algorithm: its noise is eta sigma_s where DDIM's is eta times DDPM's, which loses variance
    (see ``kernels.implicit``), its eps is not computed again from x0hat, and with noise all of the measured part's
    is drawn afresh. Its simplified form has sqrt(1 - alpha_s^4) for sigma_s and compares it with alpha_s^2 sigma_y. It
    doubles sigma_y, since its images are [-1, 1]: here sigma_y is on that scale. Time travel is off in its settings.
    """

    name: ClassVar[str] = "ddnm"
    requires: ClassVar[type[Likelihood]] = Spectral

    steps: Steps = 100
    spacing: Annotated[Spacing, "which levels, as in ddim"] = "leading"
    eta: Annotated[
        float, Ge(0), Le(1), "noise drawn in a step, to 1 (DDPM); a noisy measurement has no effect at 0 (DDIM)"
    ] = 0.85
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def __call__(self, x_t: Tensor, t: Level, prior: Prior, like: Spectral) -> Denoised:
        """x0hat with as much of y as leaves its noise within the level's: lambda_i = min(1, sigma_t s_i / (alpha_t
        sigma_y)), for integrators that draw nothing.
        """
        like = like.truncated()
        denoised, (y, sigma_y) = prior.estimate(x_t, t, self.clip), like.spectrum()
        x0 = denoised.x0
        return denoised.given(x0 + like.V(_trust(t.alpha * sigma_y, t.sigma) * (y - like.Vt(x0))))

    def step(self, state: State, s: Level, prior: Prior, like: Spectral, rng: Rng) -> State:
        x_t, t, like = state.x, state.level, like.truncated()
        x0 = prior.estimate(x_t, t, self.clip).x0
        std = self.eta * small_std(t, s)
        a = s.alpha - math.sqrt(s.sigma**2 - std**2) * t.alpha / t.sigma
        y, sigma_y = like.spectrum()
        brought = a * sigma_y
        drawn = torch.where(brought <= std, (std**2 - brought.square()).clamp(min=0).sqrt(), 0.0)
        x0hat = x0 + like.V(_trust(brought, std) * (y - like.Vt(x0)))
        noise = rng.normal(x_t.shape[1:])
        x_s = implicit(x_t, x0hat, t, s, std, lambda: noise) + like.V((drawn - std) * like.Vt(noise))
        return State(x_s, s, state.n, x0)


def _trust(brought: Tensor, std: float) -> Tensor:
    """lambda_i, that brings noise of ``brought`` lambda_i <= ``std``."""
    return torch.where(brought <= std, 1.0, std / brought)

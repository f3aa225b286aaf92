"""DDNM and DDNM+: the measured part of x_0 is replaced, as far as the noise of y allows."""

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
    """Null-space model: the measured part of x_0 is replaced by the measurement; DDNM+ if there is noise.

    With x0 = E[x_0 | x_t], x0hat = x0 + A^+ (y - A x0) and x_s ~ q(x_s | x_t, x0hat). Without noise, A x = y exactly.
    With noise, each singular value s_i has a factor lambda_i for y - A x0, and a variance gamma_i of the noise drawn.
    If x_s = kappa x_t + a x0hat + std eps, the measurement adds noise of a lambda_i sigma_y / s_i:

        lambda_i = min(1, std s_i / (a sigma_y)),   gamma_i = std^2 - (a lambda_i sigma_y / s_i)^2

    Paper: Wang et al. 2023, "Zero-shot image restoration using denoising diffusion null-space model", algorithm 1. With
    noise, eq. 17 to 19, and eq. 51 without its DDIM form: there, a coordinate with lambda_i < 1 has only sqrt(1 -
    eta^2) of this lambda_i, and draws eta^2 of the level's variance.

    Operators: with an SVD. Singular values up to its cut-off count as not measured: if they counted, all noise drawn
    there would be the noise of y, the same at every step, and it would add up. (The PSNR of a 64 x 64 face blurred by
    1.5 pixels, at sigma_y = 0.01, falls from 26 dB to 10 dB.) Cost: one network call a step, no gradients.

    The paper's code differs from its algorithm. Its noise is eta sigma_s, while DDIM's is eta times DDPM's, and so it
    loses variance (see ``kernels.implicit``). It does not recompute eps from x0hat. With noise, all of the measured
    part's eps is drawn afresh. Its simplified form has sqrt(1 - alpha_s^4) for sigma_s, and compares it with alpha_s^2
    sigma_y. It doubles sigma_y, since its images are on [-1, 1] and its sigma_y on [0, 1]; here both are on [-1, 1].
    Its settings turn time travel off, and it is left out here.
    """

    name: ClassVar[str] = "ddnm"
    requires: ClassVar[type[Likelihood]] = Spectral

    steps: Steps = 100
    spacing: Annotated[Spacing, "which levels, as in ddim"] = "leading"
    eta: Annotated[
        float, Ge(0), Le(1), "noise drawn in a step, up to 1 (DDPM); at 0 (DDIM) a noisy measurement has no effect"
    ] = 0.85
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def __call__(self, x_t: Tensor, t: Level, prior: Prior, like: Spectral) -> Denoised:
        """x0hat with lambda_i = min(1, sigma_t s_i / (alpha_t sigma_y)): the noise of y stays within the level's.

        For integrators that draw no noise.
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
    """lambda_i, such that the noise ``brought`` lambda_i is at most ``std``."""
    return torch.where(brought <= std, 1.0, std / brought)

"""DiffPIR: plug-and-play restoration, with the prior as denoiser and a proximal data step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Le
from torch import Tensor

from posteriori.guidance.base import Guidance
from posteriori.kernels import implicit
from posteriori.likelihoods.base import Conditional, Likelihood
from posteriori.priors.base import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import State, Steps
from posteriori.schedule import Level, Spacing


@final
@dataclass(frozen=True, kw_only=True)
class DiffPIR(Guidance):
    """A proximal step moves the estimate of x_0 towards the measurement, and noise of the next level is added.

    With x0 = E[x_0 | x_t] and sigma_bar = sigma_t / alpha_t,

        x0hat = argmin_x |y - A x|^2 + rho_t |x - x0|^2,   rho_t = lambda sigma_y^2 / sigma_bar^2
        x_s = alpha_s x0hat + sigma_s (sqrt(1 - zeta) (x_t - alpha_t x0hat) / sigma_t + sqrt(zeta) eps)

    Paper: Zhu et al. 2023, "Denoising diffusion models for plug-and-play image restoration", algorithm 1.

    Operators: linear; or one that rounds, without noise, for which x0hat is the mean of N(x0, sigma_bar^2 / lambda I)
    within the cells of y. Cost: one network call and one proximal step a step, no gradients.

    With lambda = 1, x0hat is the mean of N(x0, sigma_bar^2 I) given y. The code's rho_t has sigma_y on [0, 1] and
    sigma_bar on [-1, 1], so that its lambda is 4 times this one: its 1 is 0.25 here, the default. Its zeta is 0.1 for
    deblurring and super-resolution, the default, and 1 for inpainting. For deblurring, it multiplies the kernel's width
    by a random number from 1 to 3, which is part of its experiment. It starts from the noised measurement, and returns
    the state before the last network call, without a last data step; here, as in the algorithm, the start is noise. Its
    sigma_y is at least 0.001 on [0, 1], so that rho_t is never 0.

    For zeta > 0 the prior is not recovered without data, in any number of steps. A Gaussian keeps (1 + sqrt(1 - zeta))
    / 2 of its variance.
    """

    name: ClassVar[str] = "diffpir"
    requires: ClassVar[type[Likelihood]] = Conditional

    steps: Steps = 100
    spacing: Annotated[Spacing, "which levels, as in ddim"] = "quadratic"
    lambda_: Annotated[
        float, Ge(0), "weight of the prior in the data step; 1 is Bayes' rule for N(x0, sigma_bar^2 I)"
    ] = 0.25
    zeta: Annotated[float, Ge(0), Le(1), "share of a level's noise variance that is drawn afresh"] = 0.1
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def __call__(self, x_t: Tensor, t: Level, prior: Prior, like: Conditional) -> Denoised:
        denoised = prior.estimate(x_t, t, self.clip)
        std = t.sigma / (t.alpha * math.sqrt(self.lambda_)) if t.alpha * self.lambda_ else math.inf
        return denoised.given(like.conditional_mean(denoised.x0, std))

    def step(self, state: State, s: Level, prior: Prior, like: Conditional, rng: Rng) -> State:
        x_t, t = state.x, state.level
        denoised = self(x_t, t, prior, like)
        std = math.sqrt(self.zeta) * s.sigma
        x_s = implicit(x_t, denoised.x0, t, s, std, lambda: rng.normal(x_t.shape[1:]))
        return State(x_s, s, state.n, denoised.alone)

"""DPIR: plug-and-play restoration by half-quadratic splitting, with the prior as the denoiser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Conditional, Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler, State, Steps
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True, kw_only=True)
class DPIR(Sampler):
    """A data step and a denoising step in turn, at noise levels that fall by one factor.

    With D(z, sigma) the prior's E[x_0 | x_0 + sigma n = z] and sigma_k >= sigma_y,

        z_k = argmin_z |y - A z|^2 + lambda sigma_y^2 / sigma_k^2 |z - x_(k-1)|^2,   x_k = D(z_k, sigma_k)

    x_0 is the operator's initial estimate, and the result is one point estimate: every sample is the same. It fills a
    hole only from a larger sigma_max, like 2: the first denoiser has to see beyond it.

    Paper: Zhang et al. 2021, "Plug-and-play image restoration with deep denoiser prior", eqs. 6 and 7, algorithm 1.

    Operators: linear; or one that rounds, without noise, where z_k is the mean of N(x_(k-1), sigma_k^2 / lambda I)
    within the cells of y. There a sigma_max of about the initial estimate's error, 0.1, is safe: it is what the first
    denoiser has to remove. The error of z_k is small in coordinates whose cells are narrow, while the denoiser is told
    of white noise. With ``whiten``, each coordinate gets noise e of the variance that is missing to sigma_k^2, and x_k
    is the mean of D(z_k + e, sigma_k) and D(z_k - e, sigma_k), in which e vanishes as far as D is linear.

    Cost: one network call and one data step a step, two calls with ``whiten``; no gradients.

    The paper's sigma_k fall from 49/255 on [0, 1], which is sigma_max here, to sigma_y in 8 steps for deblurring and 24
    for super-resolution. Here they fall to sigma_min, and one below sigma_y is sigma_y: the levels do not depend on the
    measurement. Its code also flips and turns the image between steps, since its network is not equivariant.
    """

    name: ClassVar[str] = "dpir"
    requires: ClassVar[type[Likelihood]] = Conditional
    point: ClassVar[bool] = True

    steps: Steps = 16
    lambda_: Annotated[float, Ge(0), "the prior's weight in the data step"] = 0.23
    sigma_max: Annotated[float, Gt(0), "the first denoiser's noise, on the [-1, 1] scale"] = 0.384
    sigma_min: Annotated[float, Gt(0), "the last one's, where sigma_y is not above it"] = 0.01
    whiten: Annotated[bool, "where the operator rounds: add noise that makes the data step's error white"] = False
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma_min > self.sigma_max:
            raise PosterioriError(f"sigma_min {self.sigma_min} is above sigma_max {self.sigma_max}: give a smaller one")

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.geometric(self.sigma_max, self.sigma_min, self.steps)

    def init(self, t: Level, prior: Prior, like: Conditional, rng: Rng, n: int) -> State:
        return State(like.initial_estimate(), t, n)

    def step(self, state: State, s: Level, prior: Prior, like: Conditional, rng: Rng) -> State:
        sigma = max(state.level.sigma, like.sigma)
        std, t = sigma / math.sqrt(self.lambda_) if self.lambda_ else math.inf, prior.schedule.at_noise(sigma)
        z: Tensor = like.conditional_mean(state.x, std)
        e = like.whitening(rng.normal(z.shape[1:]).to(z), state.x, std, sigma) if self.whiten else None
        if e is None:
            x = prior.estimate(z, t, self.clip).x0
        else:
            x = (prior.estimate(z + e, t, self.clip).x0 + prior.estimate(z - e, t, self.clip).x0) / 2
        return State(x, s, state.n, x)

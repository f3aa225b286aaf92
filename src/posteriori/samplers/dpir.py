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
    """A data step and a denoising step in turn, at geometrically falling noise levels.

    With D(z, sigma) = E[x_0 | x_0 + sigma n = z] from the prior, and sigma_k >= sigma_y,

        z_k = argmin_z |y - A z|^2 + lambda sigma_y^2 / sigma_k^2 |z - x_(k-1)|^2,   x_k = D(z_k, sigma_k)

    x_0 is the operator's initial estimate. The result is a point estimate: all samples are equal. To fill a hole,
    sigma_max must be larger, about 2, since the first denoiser has to see beyond the hole.

    Paper: Zhang et al. 2021, "Plug-and-play image restoration with deep denoiser prior", eqs. 6 and 7, algorithm 1.

    Operators: linear; or one that rounds, without noise. For the latter, z_k is the mean of N(x_(k-1), sigma_k^2 /
    lambda I) within the cells of y, and a safe sigma_max is the error of the initial estimate, about 0.1, which the
    first denoiser has to remove. The error of z_k is then smaller in coordinates with narrow cells, while the denoiser
    assumes white noise. ``whiten`` corrects this: it adds noise e of the missing variance to each coordinate, and x_k
    is the mean of D(z_k + e, sigma_k) and D(z_k - e, sigma_k). As far as D is linear, e cancels. sigma_max may then
    exceed the error of the initial estimate.

    Cost: one network call and one data step a step, two calls with ``whiten``; no gradients.

    The paper's sigma_k fall from 49/255 on [0, 1] (the default of sigma_max) to sigma_y, in 8 steps for deblurring and
    24 for super-resolution. Here they fall to sigma_min, and levels below sigma_y are raised to it, so that the path
    does not depend on the measurement. The paper's code also flips and rotates the image between steps.
    """

    name: ClassVar[str] = "dpir"
    requires: ClassVar[type[Likelihood]] = Conditional
    point: ClassVar[bool] = True

    steps: Steps = 16
    lambda_: Annotated[float, Ge(0), "weight of the prior in the data step"] = 0.23
    sigma_max: Annotated[float, Gt(0), "noise level of the first denoising step, on the [-1, 1] scale"] = 0.384
    sigma_min: Annotated[float, Gt(0), "noise level of the last denoising step, if sigma_y is not larger"] = 0.01
    whiten: Annotated[bool, "if the operator rounds: add noise that makes the error of the data step white"] = False
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

"""RED-diff: a point estimate by stochastic optimisation, with the prior as regulariser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.gradients import Adam, value_and_gradient
from posteriori.kernels import forward
from posteriori.likelihoods.base import Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, Stats, SteppedSampler
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class REDDiff(SteppedSampler):
    """Regularisation by denoising diffusion: one Adam step on a single image mu at each level, from the noisiest down.

    With x_t = alpha_t mu + sigma_t eps, eps0 the network's estimate of eps, d the entries of an image and m the entries
    of y, Adam follows the gradient at mu of

        |y - A(mu)|^2 / (2 m) + lambda sigma_t / alpha_t (eps0 - eps)^T mu / d,   eps0 - eps held fixed

    mu starts at the operator's initial estimate. The last mu is the result, a point estimate: samples differ only by
    the noise of the optimisation, and without data they are not samples of the prior. ``State.x`` is mu, and the
    recorded residual is that of mu.

    Paper: Mardani et al. 2024, "A variational perspective on solving inverse problems with diffusion models", algorithm
    1.

    Operators: any. Cost: one network call a step; gradients through A only.

    The paper's algorithm has sums, |y - A(mu)|^2 and lambda (...)^T mu. Its code, whose lambda is the default here, has
    a factor 1/2 and means over entries (and over the batch): its lambda is 2 lambda m / d in the algorithm. For
    inpainting, both means are over all d entries, so that its 0.25 corresponds to 0.25 d / m here. sigma_y has no
    effect in either. Adam's betas are (0.9, 0.99). The code's README takes 100 steps at a rate of 0.5, the paper 1,000
    at 0.1.
    """

    name: ClassVar[str] = "reddiff"
    strength: ClassVar[str] = "learning_rate"

    lambda_: Annotated[float, Ge(0), "weight of the prior; both terms are means over entries"] = 0.25
    learning_rate: Annotated[
        float, Gt(0), "Adam's learning rate: about the step of each entry, on the [-1, 1] scale"
    ] = 0.1
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng, n: int) -> State:
        mu = like.initial_estimate()
        return State(mu, t, n, carry=Adam.at(mu, betas=(0.9, 0.99)))

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        t, eps = state.level.with_signal(), rng.normal(prior.shape)
        x_t = forward(state.x, t, eps)
        x0 = prior.estimate(x_t, t, self.clip).x0
        eps0 = (x_t - t.alpha * x0) / t.sigma

        def loss(mu: Tensor) -> Tensor:
            misfit = like.misfit(mu)
            data = misfit.square().sum(1) / (2 * max(misfit.shape[1], 1))
            return data + self.lambda_ * t.sigma / t.alpha * ((eps0 - eps) * mu).flatten(1).mean(1)

        _, g = value_and_gradient(loss, state.x)
        direction, adam = state.carry.step(g)
        x = state.x - self.learning_rate * direction
        stats = Stats(residual=lambda: like.misfit(state.x).norm(dim=1), gradient=lambda: g.flatten(1).norm(dim=1))
        return State(x, s, state.n, x0, stats, adam)

"""A mixture of 25 Gaussians on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, final

import torch
from torch import Tensor

from posteriori.likelihoods import Gaussian
from posteriori.operators import Dense
from posteriori.priors.base import Prior
from posteriori.priors.tied import TiedMixture
from posteriori.studies.verification.distances import sliced_wasserstein
from posteriori.studies.verification.problem import SLICES, Problem, Statistic


class _Mixed(NamedTuple):
    prior: TiedMixture
    like: Gaussian
    posterior: TiedMixture


@final
@dataclass(frozen=True)
class Grid(Problem):
    """The 25 Gaussians of Cardoso et al. 2024, "Monte Carlo guided denoising diffusion models for Bayesian linear
    inverse problems": means (-8i, -8j) repeated d/2 times for i, j in -2..2, unit covariances, weights
    in proportion to the squares of standard normal numbers; A = U S V^T of a Gaussian matrix with S replaced by
    sorted uniform numbers, sigma_y uniform times the largest. Each seed draws weights, A, sigma_y, x and y.
    """

    statistics: ClassVar = (
        Statistic("distance", "sliced Wasserstein distance", above="far off"),
        Statistic("spread", "standard deviation over the true one", above="too wide", below="too narrow"),
        Statistic("mean_error", "error of the mean in standard deviations", above="mean off"),
    )

    d: int
    d_y: int

    @property
    def name(self) -> str:
        return f"grid d={self.d} d_y={self.d_y}"

    @property
    def family(self) -> str:
        return f"grid-{self.d}"

    def given(self, seed: int) -> tuple[Prior, Gaussian]:
        return _mixed(self, seed)[:2]

    def posterior(self, seed: int) -> TiedMixture:
        return _mixed(self, seed).posterior

    def exact(self, seed: int, k: int) -> Tensor:
        return self.posterior(seed).draw(self.n, seed=self.stream(seed, 1, k).initial_seed())[None]

    def statistics_of(self, x: Tensor, seed: int) -> dict[str, Any]:
        x, posterior = x[0].double(), self.posterior(seed)
        own = posterior.draw(self.n, seed=self.stream(seed, 2).initial_seed())
        total = posterior.covariance().trace()
        return {
            "distance": sliced_wasserstein(x, own, SLICES, self.stream(seed, 3)),
            "spread": (x.var(0).sum() / total).sqrt().item(),
            "mean_error": ((x.mean(0) - posterior.mean()).norm() / total.sqrt()).item(),
        }


@lru_cache(maxsize=64)
def _mixed(problem: Grid, seed: int) -> _Mixed:
    d, d_y, rng = problem.d, problem.d_y, problem.stream(seed, 0)
    side = torch.arange(-2, 3)
    means = -8.0 * torch.cartesian_prod(side, side).repeat(1, d // 2)
    prior = TiedMixture.isotropic(means, 1.0, torch.randn(len(means), generator=rng).square())
    u, s, vt = torch.linalg.svd(torch.randn(d_y, d, generator=rng), full_matrices=False)
    s = torch.rand(len(s), generator=rng).sort(descending=True).values
    operator = Dense((d,), u * s @ vt)
    sigma = (torch.rand((), generator=rng) * s[0]).item()
    truth = prior.draw(1, seed=problem.stream(seed, 4).initial_seed())
    like = Gaussian.simulate(truth, operator, sigma, seed=seed, keys=[0])
    return _Mixed(prior, like, prior.posterior(like))

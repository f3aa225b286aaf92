"""A Gaussian over pictures, with operators that degrade them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, final

import torch
from torch import Tensor

from posteriori.likelihoods import Gaussian
from posteriori.priors.base import Prior
from posteriori.priors.mixture import GaussianMixture
from posteriori.settings.text import read_operator
from posteriori.studies.verification.distances import coverage, ranks, sliced_wasserstein
from posteriori.studies.verification.problem import SLICES, Problem, Statistic

LEVELS = (0.5, 0.8, 0.95)
#: bins of a histogram of ranks
BINS = 10
#: noise of the measurements, and the standard deviation of a pixel
SIGMA_Y, _PIXEL = 0.1, 0.5


class _Pairs(NamedTuple):
    truth: Tensor
    like: Gaussian
    means: Tensor
    covariance: Tensor
    root: Tensor


@final
@dataclass(frozen=True)
class PowerLawPictures(Problem):
    """One Gaussian over grey pictures of ``side`` x ``side`` with periodic borders and the spectrum 1 / f^2.

    A pixel's standard deviation is 0.5, the noise sigma_y = 0.1. Each seed draws ``pairs`` of x and y, and ``n``
    samples for every y: 39 is the least with which order statistics are the ends of 50, 80 and 95% intervals. The ranks
    of x's mean, a pixel in the middle and its log-likelihood among its samples' are uniform if those are exact
    (Talts et al. 2018, "Validating Bayesian inference algorithms with simulation-based calibration"), and
    |y - A x|^2 / sigma_y^2 of a sample is then chi-square with as many degrees of freedom as y has entries.
    """

    statistics: ClassVar = (
        Statistic("distance", "sliced Wasserstein distance of x - E[x | y]", above="far off"),
        Statistic("mean_error", "error of the mean, relative", above="mean off"),
        Statistic("covariance_error", "error of the covariance, relative", above="covariance off"),
        Statistic("std_ratio", "standard deviation over the true one", above="too wide", below="too narrow"),
        Statistic("std_ratio_low", "its 5% quantile over pixels"),
        Statistic("std_ratio_high", "its 95% quantile over pixels"),
        Statistic("coverage_50", "coverage of 50% intervals"),
        Statistic("coverage_80", "coverage of 80% intervals", above="underconfident", below="overconfident"),
        Statistic("coverage_95", "coverage of 95% intervals"),
        Statistic("chi_square", "|y - A x|^2 / (m sigma_y^2)", above="residual too large", below="residual too small"),
    )

    operator: str
    side: int
    pairs: int

    @property
    def name(self) -> str:
        return f"pictures {self.operator}"

    @property
    def family(self) -> str:
        return f"pictures-{self.side}"

    def given(self, seed: int) -> tuple[Prior, Gaussian]:
        return _power_law(self.side), self._drawn(seed).like

    def exact(self, seed: int, k: int) -> Tensor:
        drawn = self._drawn(seed)
        x = drawn.means[:, None] + self._errors(seed, 1, k)
        return x.float().unflatten(2, drawn.like.shape)

    def _errors(self, seed: int, *what: int) -> Tensor:
        """x - E[x | y] of exact samples, (pairs, n, d), from the same Gaussian for all y."""
        root = self._drawn(seed).root
        z = torch.randn(self.pairs, self.n, len(root), generator=self.stream(seed, *what))
        return z.double() @ root

    def statistics_of(self, x: Tensor, seed: int) -> dict[str, Any]:
        truth, like, means, covariance, _ = self._drawn(seed)
        samples = x.double().flatten(2)
        centre = samples.mean(1)
        within = (samples - centre[:, None]).flatten(0, 1)
        found = within.T @ within / (self.pairs * (self.n - 1))
        ratio = (found.diagonal() / covariance.diagonal()).sqrt()
        pixels = ranks(x.flatten(2), truth.flatten(1))
        own, m = self._squares(like, x[:, :1])
        errors, own_errors = ((samples - means[:, None]).flatten(0, 1), self._errors(seed, 2).flatten(0, 1))
        slices = self.stream(seed, 3)
        low, high = ratio.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
        return {
            "distance": sliced_wasserstein(errors, own_errors, SLICES, slices),
            "mean_error": ((centre - means).norm() / means.norm()).item(),
            "covariance_error": ((found - covariance).norm() / covariance.norm()).item(),
            "std_ratio": ratio.mean().item(),
            "std_ratio_low": low,
            "std_ratio_high": high,
            **{f"coverage_{100 * level:.0f}": coverage(pixels, self.n, level) for level in LEVELS},
            # one sample a pair, so that the mean over pairs has a known distribution
            "chi_square": (own.mean() / (m * like.sigma**2)).item(),
            "ranks": self._ranks(x, truth, like),
        }

    def degrees(self) -> int:
        """The entries m of y."""
        return self._squares(self._drawn(0).like, self._drawn(0).truth[:, None])[1]

    def _ranks(self, x: Tensor, truth: Tensor, like: Gaussian) -> dict[str, list[int]]:
        """The histograms of three ranks."""
        middle = self.side // 2
        values = {
            "mean": lambda z: z.flatten(2).double().mean(2),
            "pixel": lambda z: z[:, :, 0, middle, middle],
            "log-likelihood": lambda z: -self._squares(like, z)[0],
        }
        found = {name: ranks(f(x), f(truth[:, None])[:, 0]) for name, f in values.items()}
        width = (self.n + 1) // BINS
        return {name: torch.bincount(r // width, minlength=BINS).tolist() for name, r in found.items()}

    def _squares(self, like: Gaussian, x: Tensor) -> tuple[Tensor, int]:
        """|y - A x|^2 of x, (P, n, *shape): (P, n), and the entries of y."""
        misfit = like.expand(x.shape[1]).misfit(x.flatten(0, 1)).double()
        return misfit.square().sum(1).unflatten(0, x.shape[:2]), misfit.shape[1]

    def _drawn(self, seed: int) -> _Pairs:
        return _pairs(self, seed)


@lru_cache(maxsize=64)
def _pairs(problem: PowerLawPictures, seed: int) -> _Pairs:
    prior = _power_law(problem.side)
    operator = read_operator(problem.operator).build(prior.shape)
    truth = prior.draw(problem.pairs, seed=problem.stream(seed, 0).initial_seed())
    like = Gaussian.simulate(truth, operator, SIGMA_Y, seed=seed, keys=range(len(truth)))
    posteriors = [prior.posterior(like.select(slice(i, i + 1))) for i in range(len(truth))]
    means = torch.cat([posterior.means for posterior in posteriors])
    return _Pairs(truth, like, means, posteriors[0].covariance(), posteriors[0].roots[0])  # the same for all y


@lru_cache(maxsize=4)
def _power_law(side: int) -> GaussianMixture:
    f = torch.fft.fftfreq(side, 1 / side, dtype=torch.float64)
    power = 1 / (f[:, None].square() + f.square()).clamp(min=1)
    correlation = torch.fft.ifft2(power).real
    i = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    off = (i[:, None] - i) % side
    covariance = correlation[off[..., 0], off[..., 1]]
    return GaussianMixture(torch.zeros(1, 1, side, side), _PIXEL**2 * (covariance / correlation[0, 0])[None])

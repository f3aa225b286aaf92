"""What every interval is: ``±`` and brackets are 95% intervals of a mean, and these functions alone ask scipy for them.

    "0.12 ± 0.01"           Student's interval of a mean over seeds or pictures: ``Mean``
    "28.31 [27.90, 28.75]"  percentile bootstrap of a mean over pictures (Efron 1979), of differences paired by
                            picture: ``Estimate``
    "11.45 to 22.98"        percentile bootstrap of a kernel distance, over the pictures of both sets
    "0.987 to 1.013"        where 95% of true residuals lie, chi-square: ``chi_square_range``

A pixel's interval (``restore --interval``) is no mean's but the next draw's, at the level that was asked for: Student's
prediction interval, ``calibration.credible_interval``. "0.30 to 0.40" of shifts are the pictures' own quantiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import special

from posteriori.errors import PosterioriError

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` pictures and its bootstrap interval; NaN where there is nothing to average.

    Of a single picture there is no interval: low and high are NaN.
    """

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: np.ndarray, *, seed: int = 0) -> Self:
        """``values`` is (pictures, seeds): seeds are averaged first, pictures are resampled."""
        own = np.asarray(values, np.float64).reshape(len(values), -1).mean(1)
        n = len(own)
        if n < 2 or not np.isfinite(own).all():
            return cls(own.mean(), np.nan, np.nan, n)
        return cls(own.mean(), *bootstrap((own,), np.mean, draws=10_000, seed=seed), n)

    @property
    def negative(self) -> Estimate:
        """Of the values with other signs."""
        return Estimate(-self.mean, -self.high, -self.low, self.n)

    @property
    def rank(self) -> float:
        """The mean, by which ``max`` finds the best: where it is NaN, below all others."""
        return -np.inf if np.isnan(self.mean) else self.mean

    def text(self, digits: int, sign: str = "") -> str:
        """As tables have it: "28.31 [27.90, 28.75]"; "" for NaN."""
        if not np.isfinite(self.mean):
            return ""
        mean = f"{self.mean:{sign}.{digits}f}"
        return mean if np.isnan(self.low) else f"{mean} [{self.low:{sign}.{digits}f}, {self.high:{sign}.{digits}f}]"


@dataclass(frozen=True)
class Mean:
    """A mean over ``n`` seeds or pictures and half its interval, ``error``; NaN for that of a single one."""

    mean: float
    error: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Self:
        own = np.asarray(values, np.float64)
        n = len(own)
        error = t_quantile(LEVEL, n) * own.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        return cls(float(own.mean()), float(error), n)

    def p_value(self, other: Mean) -> float:
        """Of Student's two-sample t-test that both are means of one distribution, of a common variance."""
        from scipy import stats

        if self.error == other.error == 0:
            return float(self.mean == other.mean)
        (own, n), (others, m) = ((each.std, each.n) for each in (self, other))
        return float(stats.ttest_ind_from_stats(self.mean, own, n, other.mean, others, m).pvalue)

    @property
    def std(self) -> float:
        """The standard deviation of what the mean is over."""
        return self.error / t_quantile(LEVEL, self.n) * self.n**0.5

    def text(self, digits: int, sign: str = "") -> str:
        """As tables have it: "0.12 ± 0.01"."""
        error = f" ± {self.error:.{digits}f}" if np.isfinite(self.error) else ""
        return f"{self.mean:{sign}.{digits}f}{error}"


def bootstrap(
    data: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], *, draws: int, seed: int
) -> tuple[float, float]:
    """The percentile interval of ``statistic(*data, axis=-1)`` over ``draws`` resamplings of each of ``data``, (N,).

    Resamplings of which the statistic is NaN do not count.
    """
    from scipy import stats

    with warnings.catch_warnings(action="ignore", category=stats.DegenerateDataWarning):  # of the NaNs
        found = stats.bootstrap(data, statistic, n_resamples=draws, method="percentile", vectorized=True, rng=seed)
    low, high = np.nanquantile(found.bootstrap_distribution, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def t_quantile(level: float, n: int) -> float:
    """Standard deviations to each side of a mean of n that hold ``level`` of Student's distribution."""
    if not 0 < level < 1:
        raise PosterioriError(f"the level is {level}: give one between 0 and 1, like 0.9")
    return float(special.stdtrit(n - 1, (1 + level) / 2))


def chi_square_range(m: int, level: float = LEVEL) -> tuple[float, float]:
    """Where |y - A x|^2 / (m sigma_y^2) of the true x lies with a probability of ``level``, y having m entries."""
    low, high = (2 * special.gammaincinv(m / 2, p) / m for p in ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)

"""Means over pictures with bootstrap intervals, and differences paired by picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy import stats

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` pictures and its 95% percentile bootstrap interval; NaN where there is no figure.

    Of a single picture there is no interval: low and high are NaN.
    """

    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: np.ndarray, *, seed: int = 0) -> Self:
        """``values`` is (pictures, seeds): seeds are averaged first, pictures are resampled (Efron 1979)."""
        own = np.asarray(values, np.float64).reshape(len(values), -1).mean(1)
        n = len(own)
        if n < 2 or not np.isfinite(own).all():
            return cls(own.mean(), np.nan, np.nan, n)
        drawn = np.random.default_rng(seed).integers(0, n, (_RESAMPLES, n))
        low, high = np.quantile(own[drawn].mean(1), (0.025, 0.975))
        return cls(own.mean(), float(low), float(high), n)

    def text(self, digits: int, sign: str = "") -> str:
        """As tables have it: "28.31 [27.90, 28.75]"; "" for no figure."""
        if not np.isfinite(self.mean):
            return ""
        mean = f"{self.mean:{sign}.{digits}f}"
        return mean if np.isnan(self.low) else f"{mean} [{self.low:{sign}.{digits}f}, {self.high:{sign}.{digits}f}]"


@dataclass(frozen=True)
class Mean:
    """A mean over ``n`` seeds and 1.96 standard errors; NaN for the error of a single one."""

    Z: ClassVar[float] = 1.96

    mean: float
    error: float
    n: int

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        own = np.asarray(values, np.float64)
        n = len(own)
        return cls(float(own.mean()), float(cls.Z * own.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan, n)

    def p_value(self, other: Mean) -> float:
        """Of Student's two-sample t-test that both are means of one distribution, of a common variance."""
        if self.error == other.error == 0:
            return float(self.mean == other.mean)
        (own, n), (others, m) = ((mean.error / self.Z * np.sqrt(mean.n), mean.n) for mean in (self, other))
        return float(stats.ttest_ind_from_stats(self.mean, own, n, other.mean, others, m).pvalue)

    def text(self, digits: int) -> str:
        """As tables have it: "0.12 ± 0.01"."""
        return f"{self.mean:.{digits}f}" + (f" ± {self.error:.{digits}f}" if np.isfinite(self.error) else "")

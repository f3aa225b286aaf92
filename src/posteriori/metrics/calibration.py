"""How sure a set of posterior samples is of every pixel, and whether it is right."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.metrics.intervals import t_quantile


class Interval(NamedTuple):
    """The ends of an interval for every pixel, of one shape."""

    low: Tensor
    high: Tensor

    @property
    def width(self) -> Tensor:
        return self.high - self.low

    def covers(self, truth: Tensor) -> Tensor:
        """True where the truth lies inside, of the ends' shape."""
        return (self.low <= truth) & (truth <= self.high)


def credible_interval(x: Tensor, level: float, *, widen: float = 1.0, bounds: tuple[float, float] | None) -> Interval:
    """Intervals for each pixel that hold the truth with probability ``level``, from n samples x (n, ...): (...).

    mean +- widen t std sqrt(1 + 1/n), with t the quantile of Student's distribution with n - 1 degrees of freedom. This
    is the prediction interval for one more draw of a Gaussian of which n are known (Gelman et al. 2013, "Bayesian data
    analysis", section 3.2): few samples give wider intervals, not wrong ones. The ends are clamped to ``bounds``.
    Raises PosterioriError for fewer than 2 samples, and for a level outside (0, 1).
    """
    if len(x) < 2:
        raise PosterioriError(f"got {len(x)} sample: an interval needs at least 2")
    half = widen * t_quantile(level, len(x)) * x.std(0) * (1 + 1 / len(x)) ** 0.5
    low, high = x.mean(0) - half, x.mean(0) + half
    return Interval(low.clamp(*bounds), high.clamp(*bounds)) if bounds else Interval(low, high)


def standardized(x: Tensor, truth: Tensor) -> Tensor:
    """|truth - mean| / (std sqrt(1 + 1/n)) for the n samples x (n, ...); infinite where all are equal.

    ``credible_interval`` covers a pixel if this is at most ``t_quantile`` of its level, times ``widen``.
    """
    off, std = (truth - x.mean(0)).abs(), x.std(0) * (1 + 1 / len(x)) ** 0.5
    return torch.where(off == 0, 0.0, off / std)

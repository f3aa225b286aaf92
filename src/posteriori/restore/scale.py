"""The scale of measurements that are arrays: which ranges are impossible or unlikely on [-1, 1]."""

from __future__ import annotations

from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.images.span import read_span
from posteriori.operators.base import Operator

#: the share of entries that may lie anywhere: dead pixels, and the overshoot of filters
FEW = 0.01


def rescaled(y: Tensor, given: str | None) -> Tensor:
    """``y``, converted from the ``given`` range of black to white (``read_span``) to [-1, 1]; None is [-1, 1].

    PosterioriError where that overflows.
    """
    black, white = read_span(given or "-1..1")
    if (black, white) == (-1, 1):
        return y
    x = 2 * (y - black) / (white - black) - 1
    if not x.isfinite().all():
        raise PosterioriError(
            f"the measurement goes from {y.min():.4g} to {y.max():.4g}, too far beyond --range {given}: give its own"
        )
    return x


def check_scale(y: Tensor, operator: Operator, sigma: float, given: str | None, path: str) -> None:
    """Raises PosterioriError if ``y`` (1, ...) cannot be A(x) + sigma n for x on [-1, 1], or is probably on [0, 1].

    For an operator that averages, |A(x)| is at most 1 plus its ``overshoot``, so that at most ``FEW`` of the entries
    can exceed that by 6 sigma. If no range is ``given`` and fewer than ``FEW`` of the entries are below -max(0.1, 3
    sigma), the picture has nothing darker than mid-grey. Such pictures are rare, and all pictures on [0, 1] look like
    this. If the noise is above 1/6, no decision is possible.
    """
    if not operator.averages:
        return
    observed = operator.observed_entries(y)
    limit, dark = 1 + operator.overshoot + 6 * sigma, max(0.1, 3 * sigma)
    if (observed.abs() > limit).float().mean() > FEW:
        raise PosterioriError(
            f"{path} goes from {observed.min():.4g} to {observed.max():.4g}, which this operator and noise of sigma "
            f"{sigma:.4g} cannot give of a picture on [-1, 1]: name its range with --range, like 0..255, or its --noise"
        )
    if given is None and dark <= 0.5 and (observed < -dark).float().mean() < FEW:
        raise PosterioriError(
            f"{path} goes from {observed.min():.4g} to {observed.max():.4g}, which looks like [0, 1]: "
            "say --range 0..1, or --range -1..1 if it is a bright picture on [-1, 1]"
        )

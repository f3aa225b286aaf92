"""Whether the cost is proportional to the amount of work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy.stats import linregress
from torch import Tensor

from posteriori.jobs.executor import Tick
from posteriori.jobs.store import Result
from posteriori.priors.base import Prior
from posteriori.studies.bench.clock import Timing, in_turns, medians, threads
from posteriori.studies.bench.networks import dps, prior_of

Axis = Literal["batch", "steps", "pictures", "size"]
#: the deviation that still counts as a straight line
STRAIGHT = 0.1
#: rows of a network call on the axis "pictures"
BATCH = 4


@dataclass(frozen=True, kw_only=True)
class Scaling(Timing):
    """Seconds of the loop at ``values`` of ``axis``: rows of one step, steps of one picture, pictures in batches of
    BATCH, or the side of one picture, where the amount of work is the number of pixels.

    Gives the seconds at each value, and the ``Line``.
    """

    axis: Axis
    network: str
    values: tuple[int, ...]
    rounds: int = 5

    @property
    def label(self) -> str:
        return f"{self.network} against {self.axis}"

    @property
    def work(self) -> float:
        amount = sum(value**2 / 64**2 if self.axis == "size" else value for value in self.values)
        return 0.05 * amount * (self.rounds + 1)

    def measure(self, tick: Tick) -> Result:
        with threads(self.threads):
            prior = prior_of(self.network, "auto")
            works = {str(value): self._loop(prior, value) for value in self.values}
            found = medians(in_turns(works, self.rounds, tick, alone=self.threads == 1))
        line = fit(self.amounts, list(found.values()))
        return Result({"seconds": list(found.values()), "line": asdict(line)})

    @property
    def amounts(self) -> list[float]:
        return [float(value**2 if self.axis == "size" else value) for value in self.values]

    def _loop(self, prior: Prior, value: int) -> Callable[[], Tensor]:
        if self.axis == "size":
            return dps(prior.at(value))
        if self.axis == "steps":
            return dps(prior, steps=value)
        return dps(prior, rows=value, batch=BATCH if self.axis == "pictures" else None)


@dataclass(frozen=True)
class Line:
    """seconds = ``slope`` amount, by least squares of the relative errors; ``deviation`` is the largest of those.

    ``start`` + ``further`` amount is the ordinary least-squares line, ``bend`` its largest relative error.
    """

    slope: float
    deviation: float
    start: float
    further: float
    bend: float

    @property
    def straight(self) -> bool:
        return self.deviation <= STRAIGHT


def fit(amounts: Sequence[float], seconds: Sequence[float]) -> Line:
    x, y = np.array(amounts), np.array(seconds)
    slope = float((x / y).sum() / (x / y).dot(x / y))
    free = linregress(x, y)
    start, further = float(free.intercept), float(free.slope)
    return Line(slope, _largest(slope * x, y), start, further, _largest(start + further * x, y))


def _largest(fitted: np.ndarray, y: np.ndarray) -> float:
    return float(np.abs(fitted / y - 1).max())


def verdict(axis: Axis, amounts: Sequence[float], seconds: Sequence[float], line: Line) -> str:
    """Whether the cost is proportional, and if not, how it grows."""
    each = [1000 * took / amount for took, amount in zip(seconds, amounts, strict=True)]
    unit = {"batch": "row", "steps": "step", "pictures": "picture", "size": "pixel"}[axis]
    if line.straight:
        return f"yes: {line.slope * 1000:.3g} ms per {unit}, within {line.deviation:.0%}"
    text = f"no: {each[0]:.3g} ms per {unit} at {amounts[0]:g}, {each[-1]:.3g} at {amounts[-1]:g}"
    if line.bend <= STRAIGHT and line.start > 0:
        text += f"; {line.start * 1000:.3g} ms plus {line.further * 1000:.3g} ms per {unit}, within {line.bend:.0%}"
    elif each[-1] < each[0]:
        text += "; the fixed cost of a call matters less for larger pictures"
    return text

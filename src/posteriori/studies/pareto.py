"""Pareto fronts: what is worth its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def front(points: Iterable[T], cost: Callable[[T], float], worth: Callable[[T], float]) -> list[T]:
    """The ``points`` that are worth more than all that cost no more, from cheap to dear. Those without worth are none.

    Of several with the same cost and worth the first is taken.
    """
    found: list[T] = []
    able = [point for point in points if math.isfinite(worth(point))]
    for point in sorted(able, key=lambda point: (cost(point), -worth(point))):
        if not found or worth(point) > worth(found[-1]):
            found.append(point)
    return found

"""Estimates how long cells will take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from posteriori.jobs.cost import seconds_of_a_step
from posteriori.settings.text import parse_sampler
from posteriori.studies.verification.cells import EXACT, SETS, Cell

#: rows that are timed; fewer would fit into a cache, unlike the thousands that are drawn
_ROWS = 1000


def seconds(cells: Sequence[Cell]) -> dict[Cell, float]:
    """Estimated seconds of each cell. Times a step of each sampler on the first problem of each family."""
    afterwards: dict[str, float] = {}
    rates: dict[tuple[str, str], float] = {}
    estimate = {}
    for cell in cells:
        family = cell.problem.family
        if family not in afterwards:
            afterwards[family] = _seconds_of_statistics(cell)
        if cell.method == EXACT:
            estimate[cell] = SETS * afterwards[family]
            continue
        kind = (family, cell.sampler)
        if kind not in rates:
            rates[kind] = _seconds_of_a_step(cell)
        prior, like = cell.problem.given(cell.seed)
        steps = len(parse_sampler(cell.sampler).path(prior.schedule)) - 1
        estimate[cell] = steps * rates[kind] * len(like) * cell.problem.n + afterwards[family]
    return estimate


def _seconds_of_statistics(cell: Cell) -> float:
    """The second of two times, because the first one draws the problem."""
    x = cell.problem.exact(cell.seed, 0)
    took = 0.0
    for _ in range(2):
        started = time.perf_counter()
        cell.problem.statistics_of(x, cell.seed)
        took = time.perf_counter() - started
    return took


def _seconds_of_a_step(cell: Cell) -> float:
    """The seconds of a step of one sample."""
    prior, like = cell.problem.given(cell.seed)
    rows = like.select(slice(0, 1)).expand(_ROWS)
    return seconds_of_a_step(parse_sampler(cell.sampler), prior, rows, _ROWS) / _ROWS

"""Combines cells: means over seeds beside their floors, and a verdict on each method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch

from posteriori.metrics.intervals import Mean
from posteriori.studies.verification.cells import EXACT, Cell, Record
from posteriori.studies.verification.distances import uniformity
from posteriori.studies.verification.problem import Problem, Statistic

#: a method is biased beyond so many standard errors from exact samples, or below this p-value of its ranks
LIMIT, P_VALUE = 5.0, 0.001
UNBIASED = "exact within sampling error"


class Bias(NamedTuple):
    """A bias, and its size as text."""

    called: str
    size: str

    def __str__(self) -> str:
        return f"{self.called} ({self.size})"


@dataclass(frozen=True)
class Compared:
    """A statistic of a method's samples, ``own`` (seeds,), and of exact ones, ``floor`` (seeds, SETS)."""

    statistic: Statistic
    own: np.ndarray
    floor: np.ndarray

    @cached_property
    def off(self) -> float:
        """The sum over seeds of the differences to the floor, in standard errors of exact samples.

        The scatter is that of exact samples and not of the differences: a sampler that fails only at some seeds is
        wrong as well.
        """
        difference = float((self.own - self.floor.mean(1)).sum())
        scatter = math.sqrt(self.floor.var(1, ddof=1).sum() * (1 + 1 / self.floor.shape[1]))
        return difference / scatter if scatter else math.copysign(math.inf, difference) if difference else 0.0

    @property
    def bias(self) -> Bias | None:
        """What is wrong with a method that has this statistic."""
        called = self.statistic.above if self.off > LIMIT else self.statistic.below if self.off < -LIMIT else ""
        return Bias(called, f"{Mean.of(self.own).mean:.3g}") if called else None


P = TypeVar("P", bound=Problem, covariant=True)


@dataclass(frozen=True)
class Row(Generic[P]):
    """One method on one problem with a number of steps."""

    problem: P
    method: str
    steps: int
    sampler: str
    records: tuple[Record, ...]
    floors: tuple[Record, ...]

    @property
    def diverged(self) -> int:
        """The seeds at which it reached NaN."""
        return sum(record.statistics is None for record in self.records)

    @cached_property
    def compared(self) -> dict[str, Compared]:
        """By the statistic's name; empty if it diverged at a seed. EXACT's first set is compared with its others."""
        if self.diverged:
            return {}
        found = {}
        for statistic in self.problem.statistics:
            own, floor = (_values(records, statistic.name) for records in (self.records, self.floors))
            exact = self.method == EXACT
            found[statistic.name] = Compared(statistic, own[:, 0] if exact else own, floor[:, 1:] if exact else floor)
        return found

    @cached_property
    def p_values(self) -> dict[str, float]:
        """Those of the tests that ranks are uniform, by the name of what was ranked."""
        found = [
            record.statistics["ranks"] for record in self.records if record.statistics and "ranks" in record.statistics
        ]
        if self.method == EXACT:
            found = [sets[0] for sets in found]
        names = found[0] if found else ()
        return {name: uniformity(torch.tensor([ranks[name] for ranks in found]).sum(0)) for name in names}

    @cached_property
    def biases(self) -> list[Bias]:
        """What is wrong with its samples; none if they are exact within sampling error."""
        if self.diverged:
            return [Bias("diverged", f"{self.diverged} of {len(self.records)} seeds")]
        found = [compared.bias for compared in self.compared.values() if compared.bias]
        unequal = [name for name, p in self.p_values.items() if p < P_VALUE / len(self.p_values)]
        return found + ([Bias("ranks unequal", ", ".join(unequal))] if unequal else [])

    @property
    def verdict(self) -> str:
        return "biased: " + ", ".join(map(str, self.biases)) if self.biases else UNBIASED

    def cost(self, name: str) -> float:
        """The mean of "calls", "vjps" or "seconds" over seeds."""
        return float(np.mean([getattr(record, name) for record in self.records]))


def _values(records: Sequence[Record], name: str) -> np.ndarray:
    return np.array([record.statistics[name] for record in records if record.statistics])


def rows(records: Mapping[Cell, Record]) -> list[Row]:
    """The rows that cells make up, in their order; the floors come as rows of the method EXACT."""
    floors: dict[Problem, list[Record]] = {}
    methods: dict[tuple[Problem, str, int, str], list[Record]] = {}
    for cell, record in records.items():
        methods.setdefault((cell.problem, cell.method, cell.steps, cell.sampler), []).append(record)
        if cell.method == EXACT:
            floors.setdefault(cell.problem, []).append(record)
    return [Row(*key, tuple(found), tuple(floors[key[0]])) for key, found in methods.items()]

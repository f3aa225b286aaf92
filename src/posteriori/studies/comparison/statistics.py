"""Differences paired by picture, ranks, and fronts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from posteriori.metrics.intervals import Estimate
from posteriori.studies import pareto
from posteriori.studies.comparison.results import METRICS, Measured, Task

#: the level of all the tests of a page together, after Holm's correction
ALPHA = 0.05


@dataclass(frozen=True)
class Difference:
    """``second`` minus ``first`` on a task, over the pictures that both restored, positive where second is better.

    ``p`` is the p-value; ``holm`` is corrected for all the differences that were tested.
    """

    task: str
    first: Measured
    second: Measured
    estimate: Estimate
    p: float
    holm: float = 1.0

    @property
    def sure(self) -> bool:
        return self.holm < ALPHA


def differences(tasks: Sequence[Task], metric: str) -> list[Difference]:
    """The differences of each pair of methods on each task."""
    found = []
    for task in tasks:
        for first, second in combinations(task.methods, 2):
            gain = (second.values - first.values) * (1 if METRICS[metric] else -1)
            gain = gain[np.isfinite(gain)]
            if len(gain):
                found.append(Difference(task.name, first, second, Estimate.of(gain), p_value(gain)))
    corrected = holm([own.p for own in found])
    return [
        Difference(own.task, own.first, own.second, own.estimate, own.p, p)
        for own, p in zip(found, corrected, strict=True)
    ]


def p_value(gain: np.ndarray) -> float:
    """Of Wilcoxon's signed-rank test that ``gain`` (N,) is symmetric about 0 (exact up to N = 50)."""
    from scipy import stats

    return float(stats.wilcoxon(gain).pvalue) if gain.any() else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number n (Holm 1979): the k-th smallest times n - k + 1, in the same order."""
    order = np.argsort(p, kind="stable")
    corrected = np.minimum(1.0, np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1)))
    found = np.empty(len(p))
    found[order] = corrected
    return found.tolist()


def overall(tasks: Sequence[Task]) -> Task | None:
    """All tasks as one: the methods that ran on every task, averaged over tasks, on the pictures that all tasks share.

    None if fewer than two methods or no pictures are left. ``calls`` is the mean over tasks.
    """
    if len(tasks) == 1:
        return tasks[0]
    pictures = tuple(sorted(set.intersection(*(set(task.pictures) for task in tasks))))
    found = []
    for method in tasks[0].methods:
        own = [next((other for other in task.methods if other.label == method.label), None) for task in tasks]
        there = [each for each in own if each]
        if len(there) == len(tasks):
            rows = [each.values[_at(task, pictures)] for each, task in zip(there, tasks, strict=True)]
            calls = round(np.mean([each.calls for each in there]))
            found.append(Measured(method.label, method.method, method.source, calls, np.mean(rows, axis=0)))
    if len(found) < 2 or not pictures:
        return None
    return Task("all tasks", "", float("nan"), pictures, tuple(found))


def _at(task: Task, pictures: Sequence[str]) -> list[int]:
    places = {key: i for i, key in enumerate(task.pictures)}
    return [places[key] for key in pictures]


def ranks(task: Task, metric: str) -> list[Estimate]:
    """Each method's mean rank over pictures; 1 is the best. A method that diverged on a picture is last there."""
    from scipy import stats

    values = np.stack([own.values for own in task.methods]) * (-1 if METRICS[metric] else 1)
    placed = stats.rankdata(np.nan_to_num(values, nan=np.inf), axis=0)
    return [Estimate.of(row) for row in placed]


def mean(method: Measured) -> Estimate:
    """The mean over the pictures where ``method`` did not diverge."""
    values = method.values[np.isfinite(method.values)]
    return Estimate.of(values) if len(values) else Estimate(np.nan, np.nan, np.nan, 0)


def best(task: Task, metric: str) -> Measured:
    """The method with the best mean."""
    return max(task.methods, key=lambda own: _worth(own, metric).rank)


def front(task: Task, metric: str) -> list[Measured]:
    """The Pareto front: methods that none beats with as few network calls, sorted by calls."""
    return pareto.front(task.methods, lambda own: own.calls, lambda own: _worth(own, metric).mean)


def _worth(own: Measured, metric: str) -> Estimate:
    """The mean of a metric, with the sign by which more is better."""
    return mean(own) if METRICS[metric] else mean(own).negative

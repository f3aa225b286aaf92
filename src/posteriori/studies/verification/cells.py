"""The unit of work: one sampler on one problem at one seed."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from posteriori.jobs.executor import Tick
from posteriori.jobs.key import Job, as_json
from posteriori.jobs.store import Result
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.sampler import Sampler
from posteriori.settings.text import parse_sampler
from posteriori.studies.verification.problem import Problem

#: the method that draws from the posterior itself, which gives every statistic's floor
EXACT = "exact"
#: independent sets of exact samples for each seed; a sampler's difference to them is compared with their scatter
SETS = 20
#: what files call ``Record.statistics``
_STATISTICS = "figures"


@dataclass(frozen=True)
class Record:
    """The result of a cell. ``statistics`` are None if the sampler diverged, and lists of SETS values each for EXACT.

    ``calls`` and ``vjps`` are network calls and gradients through the network per sample, ``seconds`` those of one core
    per 1,000 samples. ``points`` are the first two entries of the samples, if they are kept.
    """

    statistics: dict[str, Any] | None
    calls: float
    vjps: float
    seconds: float
    points: list[list[float]] | None = None


@dataclass(frozen=True)
class Cell(Job):
    """``method`` is EXACT or a sampler's name, ``sampler`` its text with all fields."""

    problem: Problem
    method: str
    steps: int
    sampler: str
    seed: int
    points: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the record."""
        problem = {"kind": type(self.problem).__name__, **asdict(self.problem)}
        return as_json({"problem": problem, "sampler": self.sampler, "seed": self.seed, "points": self.points})

    @property
    def label(self) -> str:
        return f"{self.method} on {self.problem.family}, seed {self.seed}"

    def compute(self) -> Record:
        sampler = None if self.method == EXACT else parse_sampler(self.sampler)
        return measure(self.problem, sampler, self.seed, points=self.points)


def measure(problem: Problem, sampler: Sampler | None, seed: int, *, points: bool = False) -> Record:
    """The statistics of ``sampler``'s samples and their cost; those of exact samples if it is None.

    Random numbers depend on the measurements' order, not on their content, whose last bits depend on the processor.

    The n samples of an ``interacting`` sampler are the particles of one run, as a user gets them. They repeat and share
    an error, which is part of what is measured; the floor is that of independent samples.
    """
    if sampler is None:
        sets = [problem.statistics_of(problem.exact(seed, k), seed) for k in range(SETS)]
        return Record({name: [own[name] for own in sets] for name in sets[0]}, 0.0, 0.0, 0.0)
    prior, like = problem.given(seed)
    counted = CountedPrior(prior)
    started = time.process_time()
    try:
        x = sample(counted, like, sampler, n=problem.n, seed=seed, keys=range(len(like)), progress=False)
    except FloatingPointError:
        x = None
    rows = len(like) * problem.n
    cost = (counted.images / rows, counted.vjps / rows, 1000 * (time.process_time() - started) / rows)
    if x is None:
        return Record(None, *cost)
    kept = [[round(value, 3) for value in row] for row in x[0, :, :2].tolist()] if points else None
    return Record(problem.statistics_of(x, seed), *cost, kept)


def work(cell: Cell, tick: Tick) -> Result:
    """Computes ``cell`` for a store."""
    torch.set_num_threads(1)  # so that no statistic depends on the number of cores
    values = asdict(cell.compute())
    return Result({_STATISTICS: values.pop("statistics"), **values})


def record(result: Result) -> Record:
    """The record that ``work`` returned."""
    values = dict(result.values)
    return Record(values.pop(_STATISTICS), **values)

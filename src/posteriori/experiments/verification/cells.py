"""The unit of work: one sampler on one problem at one seed, kept in a file of its own."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from posteriori import __version__
from posteriori.experiments.verification.problem import Problem
from posteriori.files import write_json
from posteriori.loop import sample
from posteriori.priors.folder import read_json
from posteriori.sampler import Sampler
from posteriori.settings.text import parse_sampler
from posteriori.trace import CountedPrior

#: the method that draws from the posterior itself: every distance's floor
EXACT = "exact"
#: independent sets of exact samples for each seed: their scatter says what a sampler's difference to them means
SETS = 20


@dataclass(frozen=True)
class Record:
    """What a cell gave. ``figures`` are None where the sampler diverged, and lists of SETS figures each for EXACT.

    ``calls`` and ``vjps`` are network calls and gradients through the network for each sample, ``seconds`` those of
    1,000 samples, and ``points`` the first two entries of the samples, where they are kept.
    """

    figures: dict[str, Any] | None
    calls: float
    vjps: float
    seconds: float
    points: list[list[float]] | None = None


@dataclass(frozen=True)
class Cell:
    """``method`` is EXACT or a sampler's name, ``sampler`` its text with all fields."""

    problem: Problem
    method: str
    steps: int
    sampler: str
    seed: int
    points: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the figures."""
        problem = {"kind": type(self.problem).__name__, **asdict(self.problem)}
        return {"posteriori": __version__, "problem": problem, "sampler": self.sampler, "seed": self.seed,
                "points": self.points}  # fmt: skip

    @cached_property
    def key(self) -> str:
        """The name of its file."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]

    def compute(self) -> Record:
        sampler = None if self.method == EXACT else parse_sampler(self.sampler)
        return measure(self.problem, sampler, self.seed, points=self.points)


def measure(problem: Problem, sampler: Sampler | None, seed: int, *, points: bool = False) -> Record:
    """The figures of ``sampler``'s samples and what they cost; those of exact samples where it is None.

    Random numbers go by the measurements' order: their content is this processor's to the last bit.

    Of a sampler that is ``coupled`` the n samples are the particles of one run, as a user gets them: they repeat, and
    their common error is part of what is measured, beside a floor of independent samples.
    """
    if sampler is None:
        sets = [problem.figures(problem.exact(seed, k), seed) for k in range(SETS)]
        return Record({name: [figures[name] for figures in sets] for name in sets[0]}, 0.0, 0.0, 0.0)
    prior, like = problem.given(seed)
    counted = CountedPrior(prior)
    started = time.perf_counter()
    try:
        x = sample(counted, like, sampler, n=problem.n, seed=seed, keys=range(len(like)), progress=False)
    except FloatingPointError:
        x = None
    rows = len(like) * problem.n
    cost = (counted.images / rows, counted.vjps / rows, 1000 * (time.perf_counter() - started) / rows)
    if x is None:
        return Record(None, *cost)
    kept = [[round(value, 3) for value in row] for row in x[0, :, :2].tolist()] if points else None
    return Record(problem.figures(x, seed), *cost, kept)


class Store:
    """The cells in ``folder``, each in a file that is whole or not there."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, cell: Cell) -> Record | None:
        """What ``cell`` gave; None where it has not been done, or its file is damaged."""
        path = self.folder / f"{cell.key}.json"
        try:
            found = read_json(path) if path.is_file() else {}
            return Record(**found["record"]) if found["settings"] == cell.settings else None
        except (ValueError, KeyError, TypeError):
            return None

    def write(self, cell: Cell, record: Record) -> None:
        write_json({"settings": cell.settings, "record": asdict(record)}, self.folder / f"{cell.key}.json")

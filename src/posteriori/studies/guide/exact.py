"""How the particle samplers approach the exact posterior as particles grow: writes the table of docs/exact.md.

    python -m posteriori.studies.guide.exact --out out/exact --page docs/exact.md

Pools the first sample of each of 2,000 independent runs of K particles, on the first grid of `posteriori verify` with d
= 8 and d_y = 1. Results are kept in OUT, and a stopped command resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posteriori.jobs.executor import Tick
from posteriori.jobs.executors import executor_of
from posteriori.jobs.key import Job
from posteriori.jobs.progress import shown
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Result, Store
from posteriori.loop import sample
from posteriori.rng import Purpose, Rng, generator
from posteriori.sampler import Sampler, State, SteppedSampler
from posteriori.samplers import TDS, MCGDiff
from posteriori.settings.text import format_spec, parse_sampler
from posteriori.studies.page import fill_marks
from posteriori.studies.table import Table
from posteriori.studies.verification.grid import Grid

RUNS, PARTICLES, STEPS, SETS = 2000, (16, 64, 256, 1024), (100, 400), 20
#: rows of a call, few enough for a processor's cache
ROWS = 32_768
PROBLEM = Grid(n=RUNS, d=8, d_y=1)


class Shared(Rng):
    """One stream for all rows, since two million streams would be slow. Each measurement has ``n`` rows."""

    def __init__(self, rows: int, n: int, *key: int):
        self.rows, self.n, self.key = rows, n, key
        self.generator = generator(*key)

    @cached_property
    def resampling(self) -> Rng:
        return Shared(self.rows // self.n, 1, *self.key, Purpose.RESAMPLING)

    def uniform(self) -> Tensor:
        return torch.rand(self.rows, generator=self.generator)

    def normal(self, shape: Iterable[int]) -> Tensor:
        return torch.randn(self.rows, *shape, generator=self.generator)


def distance(x: Tensor) -> float:
    """The distance of x (RUNS, d) to exact samples, as in `verify`."""
    return PROBLEM.statistics_of(x[None].float(), 0)["distance"]


def pooled(sampler: Sampler, n: int, tick) -> float:
    prior, like = PROBLEM.given(0)

    def watch(state: State, step: int, steps: int, rows: slice) -> None:
        tick(len(state.x))

    streams = lambda rows: Shared((rows.stop - rows.start) * n, n, 0, Purpose.SAMPLER, n, rows.start)  # noqa: E731
    settings: dict[str, Any] = {"keys": range(RUNS), "batch": max(n, ROWS), "rng": streams, "callbacks": [watch]}
    return distance(sample(prior, like.expand(RUNS), sampler, n=n, progress=False, **settings)[:, 0])


@dataclass(frozen=True)
class Pooled(Job):
    """The distance of ``sampler``'s first sample of each of RUNS runs of ``n`` particles."""

    sampler: str
    n: int

    @property
    def label(self) -> str:
        return f"{self.sampler}, {self.n} particles"

    @property
    def rows(self) -> int:
        """Particles times steps, over all of its runs."""
        path = parse_sampler(self.sampler).path(PROBLEM.given(0)[0].schedule)
        return self.n * RUNS * (len(path) - 1)


def work(job: Pooled, tick: Tick) -> Result:
    torch.set_num_threads(1)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        tick(done / job.rows, job.label)

    return Result({"distance": pooled(parse_sampler(job.sampler), job.n, advance)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--written", action="store_true", help="compute nothing, write the page from OUT")
    asked = parser.parse_args()
    bare = TDS(data_var=100.0, spacing="edm"), MCGDiff(spacing="edm")
    samplers = [sampler.with_steps(steps) for steps in STEPS for sampler in bare]
    store = Store(asked.out, print)
    jobs = [Pooled(format_spec(sampler), n) for n in PARTICLES for sampler in samplers]
    if not asked.written:
        left = missing(jobs, store)
        with shown("measuring", {job.key: float(job.rows) for job in left}) as report:
            run(left, work, store, executor_of(), report, place=asked.out)
    done = {job: found.values["distance"] for job in jobs if (found := store.read(job))}
    fill_marks(asked.page, {"distances": table(done, samplers)})


def table(done: Mapping[Pooled, float], samplers: Sequence[SteppedSampler]) -> str:
    """A row for each of ``samplers``, and the distance between exact samples."""
    floor = np.array([distance(PROBLEM.exact(0, k)[0]) for k in range(SETS)])
    exact = f"{floor.mean():.3f} (std {floor.std(ddof=1):.3f})"
    rows = []
    for sampler in samplers:
        own = [done.get(Pooled(format_spec(sampler), n)) for n in PARTICLES]
        cells = ("not run" if value is None else f"{value:.3f}" for value in own)
        rows.append((sampler.name, str(sampler.steps), *cells, exact))
    return Table("", "", ("sampler", "steps", *(f"K = {n}" for n in PARTICLES), "exact"), rows).markdown()


if __name__ == "__main__":
    main()

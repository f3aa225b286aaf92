"""How the particle samplers come to the exact posterior as their particles grow: writes docs/exact.md.

    python -m posteriori.studies.guide.exact --out out/exact --page docs/exact.md

The first sample of each of 2,000 independent runs of K particles, pooled, on the first grid of `posteriori verify` with
d = 8 and d_y = 1, or on the first SEEDS of them. What was measured is kept in OUT.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posteriori.files import atomic_path
from posteriori.jobs.executor import Tick
from posteriori.jobs.executors import executor_of
from posteriori.jobs.key import Job
from posteriori.jobs.progress import shown
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Result, Store
from posteriori.loop import sample
from posteriori.rng import Purpose, Rng, generator
from posteriori.sampler import Sampler, State
from posteriori.samplers import TDS, MCGDiff
from posteriori.settings.text import format_spec, parse_sampler
from posteriori.studies.table import Table
from posteriori.studies.verification.grid import Grid

RUNS, PARTICLES, SETS = 2000, (16, 64, 256, 1024), 20
#: rows of a call: what a processor's cache still likes
ROWS = 32_768
PROBLEM = Grid(n=RUNS, d=8, d_y=1)


class Shared(Rng):
    """One stream for all rows, where two million would be slow; ``n`` rows to each measurement."""

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


def distance(x: Tensor, seed: int) -> float:
    """Of x (RUNS, d) to exact samples, as `verify` has it."""
    return PROBLEM.statistics_of(x[None].float(), seed)["distance"]


def pooled(sampler: Sampler, n: int, seed: int, tick) -> float:
    prior, like = PROBLEM.given(seed)

    def watch(state: State, step: int, steps: int, rows: slice) -> None:
        tick(len(state.x))

    streams = lambda rows: Shared((rows.stop - rows.start) * n, n, seed, Purpose.SAMPLER, n, rows.start)  # noqa: E731
    settings: dict[str, Any] = {"keys": range(RUNS), "batch": max(n, ROWS), "rng": streams, "callbacks": [watch]}
    return distance(sample(prior, like.expand(RUNS), sampler, n=n, progress=False, **settings)[:, 0], seed)


@dataclass(frozen=True)
class Pooled(Job):
    """The distance of ``sampler``'s first sample of each of RUNS runs of ``n`` particles."""

    sampler: str
    n: int
    seed: int

    @property
    def label(self) -> str:
        return f"{self.sampler.partition('(')[0]}, {self.n} particles, seed {self.seed}"

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

    return Result({"distance": pooled(parse_sampler(job.sampler), job.n, job.seed, advance)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    samplers = [TDS(data_var=100.0, spacing="edm", steps=asked.steps), MCGDiff(spacing="edm", steps=asked.steps)]
    texts, seeds, store = [format_spec(sampler) for sampler in samplers], range(asked.seeds), Store(asked.out, print)
    jobs = [Pooled(text, n, seed) for seed in seeds for n in PARTICLES for text in texts]
    left = missing(jobs, store)
    with shown("measuring", {job.key: float(job.rows) for job in left}) as report:
        run(left, work, store, executor_of(), report, place=asked.out)
    done = {job: found.values["distance"] for job in jobs if (found := store.read(job))}
    with atomic_path(asked.page) as path:
        path.write_text(page(done, texts, seeds), "utf-8")


def page(done: dict[Pooled, float], samplers: Sequence[str], seeds: Sequence[int]) -> str:
    columns = ("sampler", "seed", *(f"K = {n}" for n in PARTICLES), "exact", "K = 1024 over K = 16", "over exact")
    rows = []
    for seed in seeds:
        floor = np.array([distance(PROBLEM.exact(seed, k)[0], seed) for k in range(SETS)])
        for sampler in samplers:
            own = [done[Pooled(sampler, n, seed)] for n in PARTICLES]
            exact = f"{floor.mean():.3f} (std {floor.std(ddof=1):.3f})"
            rows.append((sampler.partition("(")[0], str(seed), *(f"{value:.3f}" for value in own), exact,
                         f"{own[-1] / own[0]:.2f}", f"{own[-1] / floor.mean():.2f}"))  # fmt: skip
    text = INTRODUCTION.format(samplers=" and ".join(f"`{s}`" for s in samplers), runs=RUNS, sets=SETS)
    return f"{text}\n{Table('', '', columns, rows).markdown()}\n"


INTRODUCTION = """# Do particle methods become exact?

TDS and MCGDiff are exact in the limit of many particles and steps. This page tests that with {samplers}, on the
mixture of 25 Gaussians in 8 dimensions with one measured number. K particles are run {runs:,} times, and the first
sample of every run is kept. The figures are the sliced Wasserstein distances of these samples to as many exact ones.
"exact" is the distance between sets of exact samples: the mean and the standard deviation over {sets} sets. Written by
`python -m posteriori.studies.guide.exact --out out/exact --page docs/exact.md`.
"""

if __name__ == "__main__":
    main()

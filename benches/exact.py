"""How the particle samplers come to the exact posterior as their particles grow: writes docs/exact.md.

    python benches/exact.py --out out/exact --page docs/exact.md

The first sample of each of 2,000 independent runs of K particles, pooled, on the first grid of `posteriori verify` with
d = 8 and d_y = 1, or on the first SEEDS of them. What was measured is kept in OUT.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posteriori.experiments.table import Table
from posteriori.experiments.verification.grid import Grid
from posteriori.files import atomic_path, write_json
from posteriori.loop import sample
from posteriori.priors.folder import read_json
from posteriori.progress import bar
from posteriori.rng import Purpose, Rng, generator
from posteriori.sampler import Sampler, State
from posteriori.samplers import TDS, MCGDiff
from posteriori.settings.text import format_spec

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

    def normal(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(self.rows, *shape, generator=self.generator)


def distance(x: Tensor, seed: int) -> float:
    """Of x (RUNS, d) to exact samples, as `verify` has it."""
    return PROBLEM.figures(x[None].float(), seed)["distance"]


def pooled(sampler: Sampler, n: int, seed: int, tick) -> float:
    prior, like = PROBLEM.given(seed)

    def watch(state: State, step: int, steps: int, rows: slice) -> None:
        tick(len(state.x))

    streams = lambda rows: Shared((rows.stop - rows.start) * n, n, seed, Purpose.SAMPLER, n, rows.start)  # noqa: E731
    settings = {"keys": range(RUNS), "batch": max(n, ROWS), "rng": streams, "callbacks": [watch], "progress": False}
    return distance(sample(prior, like.expand(RUNS), sampler, n=n, **settings)[:, 0], seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    kept = asked.out / "exact.json"
    done = read_json(kept) if kept.is_file() else {}
    samplers = [TDS(data_var=100.0, spacing="edm", steps=asked.steps), MCGDiff(spacing="edm", steps=asked.steps)]
    cells = [(seed, n, sampler) for seed in range(asked.seeds) for n in PARTICLES for sampler in samplers]
    missing = [cell for cell in cells if name(*cell) not in done]
    with bar("{task.fields[cell]}") as progress:
        total = sum(n * RUNS * (len(s.path(PROBLEM.given(0)[0].schedule)) - 1) for _, n, s in missing)
        task = progress.add_task("measuring", total=total, cell="")
        for seed, n, sampler in missing:
            progress.update(task, cell=f"{sampler.name}, {n} particles, seed {seed}")
            done[name(seed, n, sampler)] = pooled(sampler, n, seed, lambda rows: progress.advance(task, rows))
            write_json(done, kept)
    with atomic_path(asked.page) as path:
        path.write_text(page(done, samplers, range(asked.seeds)), "utf-8")


def name(seed: int, n: int, sampler: Sampler) -> str:
    return f"{format_spec(sampler)} K={n} seed={seed}"


def page(done: dict[str, float], samplers: Sequence[Sampler], seeds: Sequence[int]) -> str:
    columns = ("sampler", "seed", *(f"K = {n}" for n in PARTICLES), "exact", "K = 1024 over K = 16", "over exact")
    rows = []
    for seed in seeds:
        floor = np.array([distance(PROBLEM.exact(seed, k)[0], seed) for k in range(SETS)])
        for sampler in samplers:
            own = [done[name(seed, n, sampler)] for n in PARTICLES]
            exact = f"{floor.mean():.3f} (std {floor.std(ddof=1):.3f})"
            rows.append((sampler.name, str(seed), *(f"{value:.3f}" for value in own), exact,
                         f"{own[-1] / own[0]:.2f}", f"{own[-1] / floor.mean():.2f}"))  # fmt: skip
    text = INTRODUCTION.format(samplers=" and ".join(f"`{format_spec(s)}`" for s in samplers), runs=RUNS, sets=SETS)
    return f"{text}\n{Table('', '', columns, rows).markdown()}\n"


INTRODUCTION = """# Exact in the limit

TDS and MCGDiff are exact in the limit of particles and steps. {samplers}, on the mixture of 25 Gaussians in 8
dimensions with one measured number: the first sample of each of {runs:,} independent runs of K particles, pooled, and
their sliced Wasserstein distance to as many exact samples. "exact" is that distance of exact samples: the mean and
the standard deviation of {sets} sets. Written by `python benches/exact.py --out out/exact --page docs/exact.md`.
"""

if __name__ == "__main__":
    main()

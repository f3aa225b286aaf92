"""What the Ray executor costs on this machine: ``python -m posteriori.studies.scale --out out/scale``.

``efficiency``: a DPS restoration in batches of four with faces-64, one thread a worker, by one worker and by two in
turns; half the ratio of their times is the efficiency of the second. ``overhead``: jobs of no time, without a store and
with one on disk, and the memory of the driver while they pass.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from posteriori.files import read_json, write_json
from posteriori.jobs.cluster import Ray
from posteriori.jobs.executor import Executor, Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.key import Job
from posteriori.jobs.run import run
from posteriori.jobs.store import Result, Store

ROUNDS, STEPS, ROWS = 4, 100, 4
TINY = 20_000


@dataclass(frozen=True)
class Restored(Job):
    """A batch of ROWS restored by DPS; ``i`` makes it another."""

    i: int
    round: str


@dataclass(frozen=True)
class Nothing(Job):
    i: int


class Restore:
    """Has its prior after the first."""

    prior: Any = None

    def __reduce__(self):
        return type(self), ()

    def __call__(self, job: Restored, tick: Tick) -> None:
        from posteriori.hub.load import load_prior
        from posteriori.images.files import load_image
        from posteriori.likelihoods import GaussianNoise
        from posteriori.loop import sample
        from posteriori.operators import BoxMask
        from posteriori.samplers import DPS

        prior = self.prior = self.prior or load_prior("faces-64", dtype="float32")
        like = GaussianNoise(0.05).simulate(
            load_image("astronaut", size=64).expand(ROWS, -1, -1, -1), BoxMask(prior.shape)
        )
        sample(prior, like, DPS(steps=STEPS), seed=job.i, progress=False)


def nothing(job: Nothing, tick: Tick) -> Result:
    return Result({"i": job.i}, {"x": np.zeros(8)})


class Nowhere:
    """Keeps no result."""

    def done(self, job: Job) -> bool:
        return False

    def write(self, job: Job, result: object) -> None:
        pass


def took(
    executor: Executor, jobs: Iterator[Job], work: Callable[..., Any], store: Any, told: Any = lambda _: None
) -> float:
    started = time.perf_counter()
    run(jobs, work, store, executor, told)
    return time.perf_counter() - started


def efficiency(batches: int) -> dict[str, Any]:
    """Seconds of ``batches`` by one worker and by two, in turns, and half the median of their ratios."""
    ray: Any = import_module("ray")
    ray.init(num_cpus=3, log_to_driver=False, logging_level="ERROR")
    alone, pair = Ray(1, threads=1), Ray(2, threads=1)
    work = Restore()
    jobs = lambda name, n: (Restored(i, name) for i in range(n))  # noqa: E731
    for workers in (alone, pair):
        took(workers, jobs("first", 2 * workers.n), work, Nowhere())  # which loads the priors
    pairs = []
    for i in range(ROUNDS):
        pairs.append([took(workers, jobs(str(i), batches), work, Nowhere()) for workers in (alone, pair)])
    ratios = [one / two / 2 for one, two in pairs]
    return {"seconds": pairs, "efficiencies": ratios, "efficiency": median(ratios)}


def overhead() -> dict[str, Any]:
    """Milliseconds of a job of no time by two workers and here, and the driver's memory after each thousand."""
    workers, memory = Ray(2, threads=1), []

    def told(event: Any) -> None:
        if event.kind == "end" and event.job.i % 1000 == 999:
            memory.append(_resident())

    jobs = lambda n: (Nothing(i) for i in range(n))  # noqa: E731
    took(workers, jobs(100), nothing, Nowhere())
    found: dict[str, Any] = {"ms": 1000 * took(workers, jobs(TINY), nothing, Nowhere(), told) / TINY}
    found |= {"driver_mib": memory, "driver_grows_mib": memory[-1] - memory[1]}
    with TemporaryDirectory() as folder:
        n = TINY // 10
        found["ms_with_store"] = 1000 * took(workers, jobs(n), nothing, Store(Path(folder) / "ray")) / n
        found["ms_here_with_store"] = 1000 * took(Serial(), jobs(n), nothing, Store(Path(folder) / "here")) / n
    return found


def _resident() -> float:
    """MiB of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("efficiency", "overhead"))
    parser.add_argument("--batches", type=int, default=6, help="of a round of efficiency")
    parser.add_argument("--out", type=Path, default=Path("out/scale"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / "scale.json"
    measured = partial(efficiency, asked.batches) if asked.what == "efficiency" else overhead
    found = (read_json(file) if file.is_file() else {}) | {asked.what: measured()}
    write_json(found, file)
    print(found[asked.what])


if __name__ == "__main__":
    main()

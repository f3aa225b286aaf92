"""What the Ray executor costs on this machine: ``python -m posteriori.studies.scale --out out/scale``.

``efficiency``: a DPS restoration in batches of four with faces-64, one thread a worker, by one worker and by two in
turns; half the ratio of their times is the efficiency of the second. ``overhead``: jobs of no time, without a store and
with one on disk, and the memory of the driver while they pass. ``storage``: what results take on disk, and jobs in the
driver.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from posteriori.files import read_json, write_json
from posteriori.images.files import load_image, save_image, to_uint8
from posteriori.jobs.cluster import Ray
from posteriori.jobs.executor import Executor, Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.key import Job
from posteriori.jobs.run import run
from posteriori.jobs.store import Result, Store
from posteriori.studies.engine.plan import Run, pixel_hash
from posteriori.studies.engine.work import METRICS
from posteriori.studies.suite.parquet import write_parquet
from posteriori.studies.suite.run import Cell, Row
from posteriori.studies.suite.shelf import Place
from posteriori.studies.suite.suite import Entry, Task

ROUNDS, STEPS, ROWS = 5, 50, 4
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


def storage() -> dict[str, Any]:
    """Of a batch of 16 pictures at 256 pixels after 100 steps: bytes and milliseconds a picture, by what is kept.

    The pictures are crops of the bundled ones, with noise 0.05 for the measurement. Also the bytes of a job that waits
    in the driver, and of a line of the final Parquet.
    """
    rng, rows = np.random.default_rng(0), 16
    crops = [
        load_image(name)[0, :, i : i + 256, i : i + 256] for name in ("chelsea", "coffee") for i in range(0, 40, 5)
    ]
    x = np.stack([to_uint8(crop) for crop in crops])
    y = np.stack([to_uint8(crop + 0.05 * torch.randn(crop.shape)) for crop in crops])
    metrics = {f"figures.{name}": rng.normal(25, 3, rows) for name in METRICS}
    trace = {
        f"trace.{name}": rng.normal(0, 1, (100, rows)).astype(np.float32) for name in ("residual", "gradient", "psnr")
    }
    images = tuple((f"{i:07}.png", f"{i:064}") for i in range(rows))
    own = Run(
        ("ffhq-256", "0" * 64),
        (3, 256, 256),
        "dps(gradient=norm, scale=0.3)",
        "box-mask(size=128)",
        0.05,
        images,
        (0,),
        rows,
    )
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        for name, more in (("metrics", {}), ("pictures", {"pictures.x": x, "pictures.y": y})):
            store = Store(Path(folder) / name)
            jobs = [replace(own, seeds=(i,)).jobs[0] for i in range(30)]
            result = Result({"calls": 100, "environment": {}}, metrics | trace | more)
            write = _seconds(lambda store=store, result=result, jobs=jobs: [store.write(job, result) for job in jobs])
            read = _seconds(lambda store=store, jobs=jobs: [store.done(job) for job in jobs])
            size = (Path(folder) / name / f"{jobs[0].key}.npz").stat().st_size
            found[name] = {
                "bytes": size / rows,
                "write_ms": 1000 * write / 30 / rows,
                "read_ms": 1000 * read / 30 / rows,
            }
    with TemporaryDirectory() as folder:
        save_image(crops[0], Path(folder) / "a.png")
        place = Place(str(Path(folder) / "a.png"))
        found["picture_ms"] = 1000 * _seconds(lambda: [pixel_hash(place.read(256)) for _ in range(30)]) / 30
    before, many = _resident(), [replace(own, seeds=(i,)).jobs[0] for i in range(20_000)]
    found["key_ms"] = 1000 * _seconds(lambda: [job.key for job in many]) / len(many)
    found["job_bytes"] = 2**20 * (_resident() - before) / len(many)
    cell = Cell(Task("box", "", "box-mask", "0.05"), Entry("dps", ""), replace(own, seeds=tuple(range(64))))
    values = {name: rng.normal(25, 3, 64 * rows) for name in METRICS}
    file = io.BytesIO()
    write_parquet("suite", [Row(cell, values, 100)], file)
    return found | {"parquet_bytes": len(file.getvalue()) / (64 * rows)}


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _resident() -> float:
    """MiB of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("efficiency", "overhead", "storage"))
    parser.add_argument("--batches", type=int, default=4, help="of a round of efficiency")
    parser.add_argument("--out", type=Path, default=Path("out/scale"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / "scale.json"
    measures = {"efficiency": partial(efficiency, asked.batches), "overhead": overhead, "storage": storage}
    found = (read_json(file) if file.is_file() else {}) | {asked.what: measures[asked.what]()}
    write_json(found, file)
    print(found[asked.what])


if __name__ == "__main__":
    main()

"""What running on Ray costs on this machine.

``efficiency``: a DPS restoration in batches of four with faces-64, one thread a worker, by one worker and by two in
turns; half the ratio of their times is the parallel efficiency. ``overhead``: empty jobs, without a store and with one
on disk, and the driver's memory meanwhile. ``storage``: the size of results on disk, and the memory and time that
pictures and jobs cost the driver. ``rates``: a call of FFHQ-256's network on one thread, and the number of calls of ten
methods. The last two are CPU times, which other processes affect less.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image, save_image, to_uint8
from posteriori.jobs.cluster import Ray
from posteriori.jobs.executor import Event, Executor, Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.key import Job
from posteriori.jobs.run import run
from posteriori.jobs.store import Result, Store
from posteriori.likelihoods import GaussianNoise
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators import BoxMask
from posteriori.priors.gaussian import LowRankGaussian
from posteriori.samplers import DPS
from posteriori.settings.text import parse_sampler
from posteriori.studies.bench import clock
from posteriori.studies.bench.networks import prior_of
from posteriori.studies.engine.plan import Run, pixel_hash
from posteriori.studies.engine.work import METRICS
from posteriori.studies.suite.parquet import write_parquet
from posteriori.studies.suite.run import Cell, Row
from posteriori.studies.suite.shelf import Place, Shelf
from posteriori.studies.suite.suite import Entry, Task

ROUNDS, BATCHES, STEPS, ROWS = 4, 4, 5, 4
TINY = 20_000
#: ten methods of the field, with the settings of its suites
METHODS = ("dps(gradient=norm, scale=0.3, steps=1000)", "daps(step_size=5e-5)", "reddiff(steps=1000)",
           "dcps(steps=300)", "mgdm(steps=100)", "sitcom(steps=20)", "diffpir(lambda_=0.25, zeta=1.0, steps=100)",
           "pigdm(steps=100)", "ddnm(steps=100)", "ddrm(steps=20)")  # fmt: skip

cpu_seconds = partial(clock.seconds, alone=True)


@dataclass(frozen=True)
class Restored(Job):
    """A batch of ROWS restored by DPS; ``i`` is its seed, and tells batches apart."""

    i: int
    round: str


@dataclass(frozen=True)
class Nothing(Job):
    i: int


class Restore:
    """Loads its prior at the first job."""

    prior: Any = None

    def __reduce__(self):
        return type(self), ()

    def __call__(self, job: Restored, tick: Tick) -> None:
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
    return clock.seconds(lambda: run(jobs, work, store, executor, told), alone=False)


def efficiency() -> dict[str, Any]:
    """Seconds of BATCHES batches by one worker and by two: first with their start-up, and then in turns.

    ``busy`` is the share of the two workers' time that they spent on batches, ``load`` the load average at the start.
    """
    found: dict[str, Any] = {"load": os.getloadavg()[0], "batches": BATCHES}
    found["ray"] = clock.seconds(lambda: _begun(3), alone=False)
    alone, pair = Ray(1, threads=1), Ray(2, threads=1)
    spent = list[float]()

    def told(event: Event) -> None:
        spent.extend([event.seconds] if event.kind == "end" else [])

    def seconds(workers: Ray, name: str) -> float:
        spent.clear()
        return took(workers, (Restored(i, name) for i in range(BATCHES)), work, Nowhere(), told)

    work = Restore()
    found["first"] = [seconds(workers, "first") for workers in (alone, pair)]
    took(pair, (Restored(i, "both") for i in range(BATCHES)), work, Nowhere())  # which starts the second worker
    found |= {"seconds": [], "busy": []}
    for i in range(ROUNDS):
        found["seconds"].append([seconds(workers, str(i)) for workers in (alone, pair)])
        found["busy"].append(sum(spent) / 2 / found["seconds"][-1][1])
    return found


def overhead() -> dict[str, Any]:
    """Milliseconds of an empty job by two workers and here, and the driver's memory after every thousand jobs."""
    _begun(2)
    workers, memory = Ray(2, threads=1), []

    def told(event: Event) -> None:
        if event.kind == "end" and isinstance(event.job, Nothing) and event.job.i % 1000 == 999:
            memory.append(_resident())

    jobs = lambda n: (Nothing(i) for i in range(n))  # noqa: E731
    took(workers, jobs(100), nothing, Nowhere())
    found: dict[str, Any] = {"ms": 1000 * took(workers, jobs(TINY), nothing, Nowhere(), told) / TINY}
    found["driver_mib"] = memory
    with TemporaryDirectory() as folder:
        n = TINY // 10
        found["ms_with_store"] = 1000 * took(workers, jobs(n), nothing, Store(Path(folder) / "ray")) / n
        found["ms_here_with_store"] = 1000 * took(Serial(), jobs(n), nothing, Store(Path(folder) / "here")) / n
    return found


def storage() -> dict[str, Any]:
    """Bytes and milliseconds per picture for a batch of 16 pictures at 256 pixels after 100 steps, by what is kept.

    The pictures are crops of the bundled ones, with noise 0.05 for the measurement. Also the bytes of a job that waits
    in the driver, and of a row of the final Parquet file.
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
            write = cpu_seconds(
                lambda store=store, result=result, jobs=jobs: [store.write(job, result) for job in jobs]
            )
            read = cpu_seconds(lambda store=store, jobs=jobs: [store.done(job) for job in jobs])
            size = (Path(folder) / name / f"{jobs[0].key}.npz").stat().st_size
            found[name] = {
                "bytes": size / rows,
                "write_ms": 1000 * write / 30 / rows,
                "read_ms": 1000 * read / 30 / rows,
            }
    with TemporaryDirectory() as folder:
        save_image(crops[0], Path(folder) / "a.png")
        place = Place(str(Path(folder) / "a.png"))
        found["picture_ms"] = 1000 * cpu_seconds(lambda: [pixel_hash(place.read(256)) for _ in range(30)]) / 30
    places = {f"{i:064}": Place("/shared/ffhq", f"{i // 1000:05}/{i:07}.png") for i in range(TINY)}
    sent = pickle.dumps(Shelf(256, places))
    before, shelf = _resident(), pickle.loads(sent)
    found["shelf_bytes"] = 2**20 * (_resident() - before) / len(shelf)
    before = _resident()
    own_images = lambda: tuple((label, key) for label, key in images)  # noqa: E731, texts are the shelf's, pairs their own
    many = [replace(own, images=own_images()).jobs[0] for _ in range(TINY)]
    found["key_ms"] = 1000 * cpu_seconds(lambda: [job.key for job in many]) / len(many)
    found["job_bytes"] = 2**20 * (_resident() - before) / len(many)
    cell = Cell(Task("box", "", "box-mask", "0.05"), Entry("dps", ""), replace(own, seeds=tuple(range(64))))
    values = {name: rng.normal(25, 3, 64 * rows) for name in METRICS}
    file = io.BytesIO()
    write_parquet("suite", [Row(cell, values, 100)], file)
    return found | {"parquet_bytes": len(file.getvalue()) / (64 * rows)}


def rates() -> dict[str, Any]:
    """Seconds of a call of a network of FFHQ-256's shape on one thread, without and with a gradient, the second of two.

    Also the calls that each of METHODS makes per picture, and how many have a gradient, counted with a Gaussian prior.
    """
    torch.set_num_threads(1)
    prior = prior_of("ffhq-256", "auto")
    x, level = torch.zeros(1, *prior.shape), prior.schedule.level(500)

    def gradient() -> None:
        denoised, vjp = prior.linearise(x, level, clip=False)
        vjp(denoised.x0)

    found: dict[str, Any] = {"dtype": str(prior.dtype).removeprefix("torch.")}
    with torch.no_grad():
        found["call"] = [cpu_seconds(lambda: prior.denoise(x, level)) for _ in range(2)][1]
    found["gradient"] = [cpu_seconds(gradient) for _ in range(2)][1]
    d = 3 * 16 * 16
    for text in METHODS:
        own = CountedPrior(LowRankGaussian(torch.zeros(3, 16, 16), torch.eye(d)[:, :1], torch.ones(1), 0.5))
        like = GaussianNoise(0.05).simulate(torch.zeros(1, *own.shape), BoxMask(own.shape))
        sample(own, like, parse_sampler(text), progress=False)
        found.setdefault("methods", {})[text] = [own.calls, own.vjps]
    return found


def _begun(cpus: int) -> None:
    """Starts Ray without its logs."""
    ray: Any = import_module("ray")
    if not ray.is_initialized():
        ray.init("local", num_cpus=cpus, log_to_driver=False, logging_level="ERROR")


def _resident() -> float:
    """MiB of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


MEASURES: dict[str, Callable[[], dict[str, Any]]] = {
    "efficiency": efficiency,
    "overhead": overhead,
    "storage": storage,
    "rates": rates,
}

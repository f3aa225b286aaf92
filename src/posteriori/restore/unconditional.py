"""Samples of a prior as pictures in a folder; stopped runs resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posteriori import __version__
from posteriori.files import read_json, write_json
from posteriori.images.files import save_image
from posteriori.images.sheets import sheet
from posteriori.jobs.executor import Report, Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.faults import Halving
from posteriori.jobs.key import Job, as_json
from posteriori.jobs.memory import kept_room, peak_memory
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import RESULTS, Result, Store
from posteriori.likelihoods import Flat
from posteriori.loop import sample
from posteriori.priors.base import Prior
from posteriori.restore.manifest import MANIFEST, arithmetic, versions
from posteriori.sampler import Sampler, State
from posteriori.settings.text import format_spec


@dataclass(frozen=True)
class Draw(Job):
    """``n`` samples of a prior in one batch, starting with number ``first``. ``device`` and ``dtype`` are words."""

    sha256: str
    sampler: str
    seed: int
    first: int
    n: int
    device: str
    dtype: str

    @property
    def label(self) -> str:
        return f"samples {self.first + 1} to {self.first + self.n}"


def draw(
    prior: Prior,
    sampler: Sampler,
    n: int,
    out: Path,
    *,
    record: dict[str, Any],
    seed: int,
    batch: int | None,
    overwrite: bool,
    watched: Callable[[Mapping[str, float]], Report],
    say: Callable[[str], object] = lambda _: None,
) -> Tensor:
    """Writes ``n`` samples, their grid and manifest.json to ``out``; returns the exact samples, (n, 3, H, W).

    ``record`` is the prior's. Exact samples are kept in ``out``/.jobs, and pictures are made from them. ``watched``
    gets the rows and steps of each batch, by key, and returns the progress reporter. ``say`` is told that memory ran
    out. ``batch`` None takes as many as are useful and fit. Raises FileExistsError if ``out`` has samples made by other
    settings, unless ``overwrite``.
    """
    text, own = format_spec(sampler), arithmetic(prior)
    batch, note = kept_room(out, prior, record["sha256"], batch, gradient=False)
    settings = as_json(
        {
            "posteriori": __version__,
            "sampler": text,
            "samples": n,
            "prior": record,
            "seed": seed,
            "batch": batch,
            **own,
        }
    )
    old, store = sorted(out.glob("sample-*.png")), Store(out / RESULTS)
    jobs = [Draw(record["sha256"], text, seed, i, min(batch, n - i), **own) for i in range(0, n, batch)]
    if overwrite:
        store.keep_only(jobs)
        for path in old:
            path.unlink()
    elif (out / MANIFEST).is_file() or old:
        made_by = read_json(out / MANIFEST).get("settings") if (out / MANIFEST).is_file() else None
        if made_by != settings:
            raise FileExistsError(
                f"{out} holds samples made otherwise: give another --out, or --overwrite to replace them"
            )
    write_json({"settings": settings, "versions": versions()}, out / MANIFEST)
    note()
    started = time.perf_counter()
    left, halving = missing(jobs, store), Halving(batch, say)
    steps = len(sampler.path(prior.schedule)) - 1

    def work(job: Draw, tick: Tick) -> Result:
        def watch(state: State, step: int, steps: int, rows: slice) -> None:
            tick(step / steps, job.label)

        like = Flat(job.n, prior.shape, first=job.first)

        def drawn(rows: int) -> Tensor:
            return sample(prior, like, sampler, seed=seed, batch=rows, callbacks=[watch], progress=False)

        x = halving(drawn, job.n)[:, 0]
        return Result(arrays={"x": x.cpu().numpy()})

    run(left, work, store, Serial(), watched({job.key: float(job.n * steps) for job in left}), place=out)
    found = [result.arrays["x"] for job in jobs if (result := store.read(job))]
    x = torch.from_numpy(np.concatenate(found))
    for i, image in enumerate(x, 1):
        save_image(image, out / f"sample-{i:0{max(3, len(str(n)))}d}.png")
    sheet(x, out / "grid.png")
    cost = {"seconds": round(time.perf_counter() - started, 3), "peak_memory_bytes": peak_memory(prior.device)}
    write_json({"settings": settings, **cost, "versions": versions()}, out / MANIFEST)
    return x

"""Restoring a list of inputs into a folder: one entry each, whole or not there, with a manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from posteriori.files import atomic_folder, write_json
from posteriori.priors.base import Prior
from posteriori.priors.folder import read_json
from posteriori.runs.entry import Job, write_entry
from posteriori.runs.inputs import Source
from posteriori.runs.intervals import write_intervals
from posteriori.runs.manifest import MANIFEST, peak_memory, versions
from posteriori.runs.restoration import Restoration
from posteriori.settings.own import code_of

SUMMARY = "results.json"

#: called after every step of a batch with its inputs' names and the mean residual, where there is one
GroupTick = Callable[[Sequence[str], float | None], None]


@dataclass(frozen=True)
class Outcome:
    """What became of an input: its manifest, or the error that stopped it; ``there`` if it had been done before."""

    source: Source
    manifest: dict[str, Any] | None = None
    error: Exception | None = None
    there: bool = False


def restore(
    restoration: Restoration,
    sources: Sequence[Source],
    out: Path,
    *,
    overwrite: bool,
    announce: Callable[[Job], object],
    tick: GroupTick,
) -> Iterator[Outcome]:
    """Restores ``sources`` into ``out``/name; an input that cannot be read is an outcome with an error.

    ``announce`` is told the first job of each size before its work begins, ``tick`` every step.

    What the same settings made of the same input is left as it is. Raises FileExistsError, before any
    work, where a name is taken by anything else, unless ``overwrite``; MemoryError and
    FloatingPointError as they come.
    """
    there = {} if overwrite else _finished(restoration, sources, out)
    announced = set()
    for group in restoration.groups(sources):
        jobs = []
        for source in group:
            try:
                jobs.append(restoration.job(source))
            except (OSError, ValueError) as error:
                yield Outcome(source, error=error)
        if all(job.source in there for job in jobs):
            yield from (Outcome(job.source, there[job.source], there=True) for job in jobs)
            continue
        for _, run in groupby(jobs, key=lambda job: job.operator):  # which has the shape of the images
            same = list(run)
            if same[0].operator.shape not in announced:
                announced.add(same[0].operator.shape)
                announce(same[0])
            for job, x, cost in _solve(restoration, same, tick):
                done = there.get(job.source)
                yield Outcome(job.source, done or _write(restoration, job, x, cost, out), there=bool(done))


def _finished(restoration: Restoration, sources: Sequence[Source], out: Path) -> dict[Source, dict[str, Any]]:
    """The manifests of ``sources`` that these settings have made before, but for those that can no longer be read."""
    found = {}
    for source in sources:
        entry = out / source.name
        if not entry.exists():
            continue
        try:
            job = restoration.job(source)
        except (OSError, ValueError):  # which stops this input when its turn comes, and no other
            continue
        settings = json.loads(json.dumps(restoration.settings(job)))
        manifest = read_json(entry / MANIFEST) if (entry / MANIFEST).is_file() else {}
        used = manifest.get("settings", {})
        other = [name for name in settings.keys() - {"sources", "warning"} if used.get(name) != settings[name]]
        if manifest.get("input", {}).get("sha256") != job.loaded.about["sha256"]:
            other.append("input")
        if other:
            raise FileExistsError(
                f"{entry} already exists, made with another {', '.join(sorted(other))}: "
                "give another --out, or --overwrite to replace it"
            )
        found[source] = manifest
    return found


def _solve(
    restoration: Restoration, jobs: Sequence[Job], tick: GroupTick
) -> Iterator[tuple[Job, Tensor, dict[str, Any]]]:
    """(job, its images (n, C, H, W) on the CPU, what they cost) of each of ``jobs``, in one batch."""
    started, names = time.perf_counter(), [job.source.name for job in jobs]
    told = lambda residual: tick(names, residual)  # noqa: E731
    try:
        y = torch.cat([job.y for job in jobs])
        drawn = jobs[0].method(jobs[0].prior, jobs[0].operator, y, restoration.rows, told)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        rows = min(len(jobs) * restoration.method.n, restoration.rows)
        raise MemoryError(f"out of memory with {rows} images at once: lower --batch or --samples") from None
    seconds = (time.perf_counter() - started) / len(jobs)
    cost = {
        "network_calls": drawn.calls,
        "rows_per_call": drawn.rows,
        "seconds": round(seconds, 3),
        "peak_memory_bytes": peak_memory(restoration.prior.device),
    }
    for job, samples in zip(jobs, drawn.x.cpu(), strict=True):
        yield job, job.shade(samples), cost


def _write(restoration: Restoration, job: Job, x: Tensor, cost: dict[str, Any], out: Path) -> dict[str, Any]:
    settings = restoration.settings(job)
    code = code_of(settings["operator"], settings.get("sampler", ""))
    manifest = {
        "name": job.source.name,
        "input": job.loaded.about | ({"grey": True} if job.loaded.grey else {}),
        "settings": settings,
        **({"code": code} if code else {}),
        **cost,
        "versions": versions(),
    }
    with atomic_folder(out / job.source.name) as folder:
        manifest |= write_entry(folder, job, x, restoration.sigma)
        if restoration.interval:
            manifest |= write_intervals(folder, job, job.window(x), restoration.interval)
        write_json(manifest, folder / MANIFEST)
    return manifest


def seconds_per_step(prior: Prior) -> float:
    """How long one image takes through the network and its gradient back, timed once."""
    x = torch.zeros(1, *prior.shape, device=prior.device, requires_grad=True)
    started = time.perf_counter()
    torch.autograd.grad(prior.denoise(x, prior.schedule.level(prior.schedule.end / 2)).x0.sum(), x)[0].cpu()
    return time.perf_counter() - started


def summary(outcome: Outcome, out: Path) -> dict[str, Any]:
    """One input as a line of a table; figures are those of the samples' mean, but for ``psnr_of_a_sample``.

    ``coverage`` is that of the pixels that a mask hides, or of all where there is none.
    """
    name, manifest = outcome.source.name, outcome.manifest or {}
    scores = (manifest.get("metrics") or {}).get("mean", {})
    samples = (manifest.get("metrics") or {}).get("samples", [])
    coverage = (manifest.get("interval") or {}).get("coverage", {})
    mean = lambda values: fmean(values) if values else None  # noqa: E731
    residual, shift = (manifest.get(check) or {} for check in ("residual", "shift"))
    return {
        "name": name,
        "input": outcome.source.path,
        "folder": str(out / name) if manifest else None,
        **{metric: scores.get(metric) for metric in ("psnr", "ssim", "lpips")},
        "psnr_of_a_sample": mean([s["psnr"] for s in samples]) if len(samples) > 1 else None,
        "coverage": coverage.get("all") if coverage.get("hidden") is None else coverage["hidden"],
        "residual": mean(residual.get("samples")),
        "residual_of_true_images": residual.get("95% of true images"),
        "shift": mean(shift.get("samples")),
        "shift_of_known_pictures": shift.get("95% of held-out pictures"),
        "warnings": manifest.get("warnings", []),
        "network_calls": manifest.get("network_calls"),
        "seconds": manifest.get("seconds"),
        "error": str(outcome.error) if outcome.error else None,
    }


def write_summary(out: Path) -> None:
    """Writes results.json: a line for every entry that ``out`` holds."""
    manifests = [read_json(path) for path in sorted(out.glob(f"*/{MANIFEST}"))]
    outcomes = [Outcome(Source(m["input"]["file"], m["name"]), m) for m in manifests]
    write_json([summary(outcome, out) for outcome in outcomes], out / SUMMARY)

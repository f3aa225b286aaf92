"""results.md for people, and results.json for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from posteriori import __version__
from posteriori.files import atomic_path
from posteriori.jobs.key import Job
from posteriori.jobs.store import Store
from posteriori.studies.bench import clock, quality
from posteriori.studies.bench.plan import Plan
from posteriori.studies.bench.rate import Rate
from posteriori.studies.bench.scaling import BATCH, STRAIGHT, Line, Scaling, verdict
from posteriori.studies.bench.start import Start
from posteriori.studies.bench.steptable import step_tables
from posteriori.studies.guide.cells import filled
from posteriori.studies.table import Table

#: a job's values, None if it has not run
Read = Callable[[Job], dict[str, Any] | None]
LATER = "Not measured yet. `make bench` resumes."


@dataclass(frozen=True)
class _Section:
    title: str
    parts: Sequence[str]


def write(planned: Plan, results: Path, folder: Path, note: str) -> None:
    """Writes both files into ``folder`` from what lies in ``results``."""
    store = Store(results)

    def read(job: Job) -> dict[str, Any] | None:
        found = store.read(job)
        return found.values if found else None

    parts = [
        f"# What posteriori {__version__} costs on one machine",
        filled(_introduction(note)),
        *_flat(_Section("How fast is a step, compared with other codes?", step_tables(planned, read) or [LATER])),
        *_flat(
            _Section("How much of the machine's matrix rate does a step reach?", _rates(planned.timings["rate"], read))
        ),
        *_flat(_Section("How fast is a step on a GPU?", _gpu(planned.timings["gpu"], read))),
        *_flat(_Section("How soon is a sampler as good as DPS?", _quality(planned.cases, results))),
        *_flat(_Section("Is the cost proportional to the amount of work?", _scaling(planned.timings["scaling"], read))),
        *_flat(_Section("How long does a command take to start?", _starts(planned.timings["start"], read))),
    ]
    with atomic_path(folder / "results.md") as path:
        path.write_text("\n\n".join(parts) + "\n", "utf-8")
    with atomic_path(folder / "results.json") as path:
        path.write_text(json.dumps(_programs(planned, results, read), indent=1) + "\n", "utf-8")


def _flat(section: _Section) -> list[str]:
    return [f"## {section.title}", *section.parts]


def _introduction(note: str) -> str:
    return f"""
    Written by `make bench` on {date.today().isoformat()}; results.json has all digits. The machine: {clock.machine()};
    {", ".join(f"{name} {_version(name)}" for name in ("diffusers", "numpy"))}. {note}

    Codes that are compared run in turns in one process. A time is the median over the rounds. On one thread it is CPU
    time, which other processes affect less; on more threads it is wall-clock time.
    """


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _rates(jobs: Sequence[Job], read: Read) -> list[str]:
    rows, parts = [], []
    for job in jobs:
        values = read(job)
        if values and isinstance(job, Rate):
            rows.append(rate_row(job, values))
            slow = ", ".join(f"`{name}` {share:.0%}" for name, share in values["profile"])
            parts.append(f"- {job.network}, batch {job.batch}, {job.dtype}: {slow}")
    if not rows:
        return [LATER]
    text = """
    One DPS step in turns with a product of two square matrices, on one thread. torch counts the FLOPs of convolutions
    and products; a multiplication and an addition are two. The share is the step's rate divided by the product's.
    """
    slowest = "The six operations of torch that take most of a step's time:"
    return [filled(text), Table("", "", RATE_COLUMNS, rows).markdown(), slowest, "\n".join(parts)]


RATE_COLUMNS = ("network", "batch", "arithmetic", "seconds per step", "GFLOP per step", "step, GFLOP/s",
                "product, GFLOP/s", "share")  # fmt: skip


def rate_row(job: Rate, values: Mapping[str, Any]) -> tuple[str, ...]:
    flops, took = values["flops"] / 1e9, values["seconds"]
    return (job.network, str(job.batch), job.dtype, f"{took:.3g}", f"{flops:.4g}", f"{flops / took:.3g}",
            f"{values['rate'] / 1e9:.3g}", f"{values['share']:.0%}")  # fmt: skip


def _gpu(jobs: Sequence[Job], read: Read) -> list[str]:
    if not jobs:
        return [
            "Not measured: torch finds no GPU on this machine. On a machine with one, the same command measures it."
        ]
    rows = [rate_row(job, values) for job in jobs if isinstance(job, Rate) and (values := read(job))]
    return [Table("", "", RATE_COLUMNS, rows).markdown()] if rows else [LATER]


def _quality(cases: Sequence[quality.Case], results: Path) -> list[str]:
    parts = [filled(QUALITY.format(psnr=quality.PSNR, lpips=quality.LPIPS))]
    for case in cases:
        best, found = quality.reference(case, results), quality.reached(case, results)
        first, end = case.pictures
        parts.append(f"### {case.task.capitalize()} with {case.prior}, {end - first} pictures of {case.size} pixels")
        if best is None:
            parts.append(LATER)
            continue
        slow = best.mean("seconds")
        enough, short = [own for own in found if own.enough], [own for own in found if not own.enough]
        rows = [quality_row(own, slow) for own in [best, *enough[:5]]]
        parts.append(Table("", "", QUALITY_COLUMNS, rows).markdown())
        if enough:
            one, ratio = enough[0], enough[0].mean("seconds") / slow
            parts.append(
                f"The fastest is `{one.candidate}` in {one.steps} steps: it takes 1/{1 / ratio:.0f} of the time of DPS."
            )
        if short:
            missed = "; ".join(
                f"`{own.candidate}` ({own.steps} steps: {own.mean('psnr'):.2f} dB, {own.mean('lpips'):.4f})"
                for own in short
            )
            parts.append(filled(f"Never as good, with the last number of steps tried: {missed}."))
    return parts


QUALITY = """
Each sampler is run with more and more steps until it matches DPS in the first row: a mean PSNR at most {psnr} dB lower,
and a mean LPIPS at most {lpips} higher. The time is in seconds of one core per picture, in batches. The pictures were
held out, and no setting was tuned on them. The noise level is 0.05. Settings are from presets.toml unless the name has
others. The five fastest samplers are shown.
"""
QUALITY_COLUMNS = ("sampler", "steps", "seconds", "relative to DPS", "network calls", "vjps", "PSNR (dB)", "LPIPS")


def quality_row(own: quality.Reached, slow: float) -> tuple[str, ...]:
    took = own.mean("seconds")
    return (f"`{own.candidate}`", str(own.steps), f"{took:.3g}", f"{took / slow:.3f}", f"{own.mean('calls'):.0f}",
            f"{own.mean('vjps'):.0f}", f"{own.mean('psnr'):.2f}", f"{own.mean('lpips'):.4f}")  # fmt: skip


def _scaling(jobs: Sequence[Job], read: Read) -> list[str]:
    rows = []
    for job in jobs:
        values = read(job)
        if values and isinstance(job, Scaling):
            pairs = zip(job.values, values["seconds"], strict=True)
            times = ", ".join(f"{value}: {took:.3g}" for value, took in pairs)
            said = verdict(job.axis, job.amounts, values["seconds"], Line(**values["line"]))
            rows.append((job.axis, job.network, times, said))
    if not rows:
        return [LATER]
    text = f"""
    The DPS loop on one thread, after a warm-up, in each prior's default arithmetic. Pictures are in batches of {BATCH}.
    Sizes are sides in pixels, and the amount of work is the number of pixels. A line through the origin is
    fitted by least squares of the relative errors. The cost counts as proportional if the largest relative error is
    within {STRAIGHT:.0%}.
    """
    return [filled(text), Table("", "", ("by", "network", "seconds", "proportional?"), rows).markdown()]


def _starts(jobs: Sequence[Job], read: Read) -> list[str]:
    for job in jobs:
        values = read(job)
        if values and isinstance(job, Start):
            text = f"""
            `posteriori --help` takes {values["help"]:.2f} s. `restore` of one picture in one step with faces-64 takes
            {values["restore"]:.1f} s. Both are wall-clock times of a new process."""
            return [filled(text)]
    return [LATER]


def _programs(planned: Plan, results: Path, read: Read) -> dict[str, Any]:
    found: dict[str, Any] = {"machine": clock.machine(), "code": clock.code(), "date": date.today().isoformat()}
    found["missing"] = planned.missing
    found["timings"] = [
        clock.about(job) | {"values": values}
        for jobs in planned.timings.values()
        for job in jobs
        if (values := read(job))
    ]
    found["quality"] = [
        {"prior": case.prior, "task": case.task, "sampler": own.candidate, "steps": own.steps, "as_good": own.enough}
        | {name: own.mean(name) for name in ("seconds", "calls", "vjps", "psnr", "lpips")}
        for case in planned.cases
        if (best := quality.reference(case, results))
        for own in [best, *quality.reached(case, results)]
    ]
    return found

"""The part of results.md that compares a step with other codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posteriori.jobs.key import Job
from posteriori.studies.bench.plan import Plan
from posteriori.studies.bench.steps import OURS, Memory, Same, Steps
from posteriori.studies.guide.cells import filled
from posteriori.studies.table import Table
from posteriori.studies.wording import counted

Read = Callable[[Job], dict[str, Any] | None]
#: the loop that the others are compared with, if it was timed
FIRST = "official float32"


def step_tables(planned: Plan, read: Read) -> list[str]:
    """The table and its text; nothing if nothing was measured."""
    jobs = planned.timings["steps"]
    steps = {job.threads: (job, found) for job in jobs if isinstance(job, Steps) and (found := read(job))}
    memory = {job.loop.name: found for job in jobs if isinstance(job, Memory) and (found := read(job))}
    same = next((found["error"] for job in jobs if isinstance(job, Same) and (found := read(job))), {})
    if not steps:
        return []
    job, _ = next(iter(steps.values()))
    names = list(next(iter(steps.values()))[1]["seconds"])
    base = FIRST if FIRST in names else f"{OURS} float32"
    columns = ["code"]
    for n in steps:
        columns += [f"seconds, {counted(n, 'thread')}", f"relative to {base}"]
    columns += ["spread", "network error", "memory (MiB)", "without the network (MiB)"]
    rows = [
        _row(name, base, [found for _, found in steps.values()], same.get(name), memory.get(name)) for name in names
    ]
    width = len(columns) - 1
    rows += [(f"{name}", f"not measured: {why}", *[""] * (width - 1)) for name, why in planned.missing.items()]
    text = f"""
    One DPS step with the {job.network} network and random weights, the same in every code: the network, its gradient
    and the update, for one picture with the report's box. For the other codes, bfloat16 means torch's autocast around
    their loop; none of them does this by itself. `spread` is half the range over {job.rounds} rounds, on the first
    number of threads. `network error` is the largest difference of the network's output from that of {names[0]},
    relative to its rms. Memory is the peak of a new process over two steps on one thread: in total, and without what
    was in use after loading.
    """
    return [filled(text), Table("", "", tuple(columns), rows).markdown(), *_says(steps, memory)]


def _row(
    name: str, base: str, found: list[dict[str, Any]], error: float | None, memory: dict[str, Any] | None
) -> tuple[str, ...]:
    cells = [name]
    for values in found:
        took = values["seconds"][name]
        cells += [f"{took:.3g}", f"{took / values['seconds'][base]:.2f}"]
    cells += [f"{found[0]['spread'][name]:.0%}", "" if error is None else f"{error:.1g}"]
    shown = [f"{memory[key]:.0f}" if memory and memory[key] is not None else "" for key in ("peak", "beyond")]
    return (*cells, *shown)


def _says(steps: dict[int, tuple[Steps, dict[str, Any]]], memory: dict[str, dict[str, Any]]) -> list[str]:
    own = f"{OURS} bfloat16"
    if FIRST not in next(iter(steps.values()))[1]["seconds"]:
        return []
    ratios = [
        f"{f['seconds'][own] / f['seconds'][FIRST]:.2f} times as long as the official code in float32 on "
        f"{counted(n, 'thread')}"
        for n, (_, f) in steps.items()
    ]
    text = f"In bfloat16 a step takes {', '.join(ratios)}"
    if own in memory and FIRST in memory and memory[FIRST]["beyond"]:
        text += f", and {memory[own]['beyond'] / memory[FIRST]['beyond']:.2f} times its memory without the network"
    return [filled(text + ".")]

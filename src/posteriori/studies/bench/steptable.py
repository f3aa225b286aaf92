"""The part of results.md on a step beside others' codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from posteriori.jobs.key import Job
from posteriori.studies.bench.plan import Plan
from posteriori.studies.bench.steps import OURS, Memory, Same, Steps
from posteriori.studies.guide.cells import filled
from posteriori.studies.table import Table

Read = Callable[[Job], dict[str, Any] | None]
#: the loop that the others are compared with, where it is there
FIRST = "official float32"


def step_tables(planned: Plan, read: Read) -> list[str]:
    """The table and what it says; nothing where nothing was measured."""
    jobs = planned.timings["steps"]
    steps = {job.threads: (job, found) for job in jobs if isinstance(job, Steps) and (found := read(job))}
    memory = {job.loop.name: found for job in jobs if isinstance(job, Memory) and (found := read(job))}
    same = next((found["error"] for job in jobs if isinstance(job, Same) and (found := read(job))), {})
    if not steps:
        return []
    job, _ = next(iter(steps.values()))
    names = list(next(iter(steps.values()))[1]["seconds"])
    base = FIRST if FIRST in names else f"{OURS} float32"
    columns = ["loop"]
    for n in steps:
        columns += [f"seconds, {n} thread{'s' * (n > 1)}", f"of {base}'s"]
    columns += ["rounds differ by", "network differs by", "memory (MiB)", "beyond the network (MiB)"]
    rows = [
        _row(name, base, [found for _, found in steps.values()], same.get(name), memory.get(name)) for name in names
    ]
    width = len(columns) - 1
    rows += [(f"{name}", f"not measured: {why}", *[""] * (width - 1)) for name, why in planned.missing.items()]
    text = f"""
    One DPS step on {job.network} with random weights, the same in every code: the network, its gradient and the update,
    of one picture behind the report's box. Others' bfloat16 is torch's autocast around their loop, which none of them
    does by itself. `rounds differ by` is half of the largest less the smallest of {job.rounds}, on the first number of
    threads; `network differs by` the largest difference of the network's output from {names[0]}'s, over its rms. Memory
    is the most that a new process holds in two steps on one thread, and what of it came after loading.
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
        f"{f['seconds'][own] / f['seconds'][FIRST]:.2f} on {n} thread{'s' * (n > 1)}" for n, (_, f) in steps.items()
    ]
    text = f"In bfloat16 a step takes {' and '.join(ratios)} of what the official code takes in float32"
    if own in memory and FIRST in memory and memory[FIRST]["beyond"]:
        text += f", and {memory[own]['beyond'] / memory[FIRST]['beyond']:.2f} of its memory beyond the network"
    return [filled(text + ".")]

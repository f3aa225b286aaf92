"""How long work takes on a machine that others use as well: in turns, and the median of them."""

from __future__ import annotations

import hashlib
import platform
import statistics
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

import posteriori
from posteriori.jobs.executor import Tick
from posteriori.jobs.key import Job
from posteriori.jobs.store import Result

#: rooms of the package that no sampler's step runs through
_APART = ("cli", "restore", "studies", "training")


@cache
def machine() -> str:
    """The processor, its cores, and the versions that decide the times."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores = torch.multiprocessing.cpu_count()
    return f"{processor()}, {cores} cores{gpu}; torch {torch.__version__}, Python {platform.python_version()}"


def processor() -> str:
    """Its name, and what it has for matrices."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    able = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    model = f"family {fields['cpu family']}, model {fields['model']}" if "model" in fields else ""
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join([model, *able]).strip(', ')})"


@cache
def code() -> str:
    """A hash of the sources that a step runs through."""
    root = Path(posteriori.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] not in _APART:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Timing(Job):
    """Something timed: of this machine and of the code that a step runs through, so that others' times are not taken.

    ``threads`` are torch's.
    """

    threads: int = 1
    machine: str = field(default_factory=machine)
    code: str = field(default_factory=code)

    @property
    def work(self) -> float:
        """An estimate of the seconds it takes, for the progress."""
        return 10.0

    def measure(self, tick: Tick) -> Result:
        """Does it."""
        raise NotImplementedError


@contextmanager
def threads(n: int) -> Generator[None]:
    """torch computes with ``n`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds(work: Callable[[], object], alone: bool) -> float:
    """Of ``work``: the process's own on the processor where it is ``alone`` on one thread, else the wall's.

    Busy neighbours add to the first less than to the second: they share caches, and not the clock.
    """
    now = time.process_time if alone else time.perf_counter
    started = now()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return now() - started


def in_turns(
    works: Mapping[str, Callable[[], object]], rounds: int, tick: Tick, *, alone: bool = True
) -> dict[str, list[float]]:
    """The seconds of each of ``works`` in ``rounds`` rounds, one after the other in each; a round before warms up."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for i in range(rounds):
        tick((i + 1) / (rounds + 1), f"round {i + 1} of {rounds}")
        for name, work in works.items():
            found[name].append(seconds(work, alone))
    return found


def medians(runs: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in runs.items()}


def spread(values: list[float]) -> float:
    """Half of largest less smallest, as a share of the median: how far the rounds disagree."""
    return (max(values) - min(values)) / 2 / statistics.median(values)


def about(job: Any) -> dict[str, Any]:
    """What results.json says of a job."""
    return {"job": type(job).__name__, **job.settings}

"""Times work on a shared machine: the codes run in turns, and a time is the median over rounds."""

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

#: subpackages that no sampler's step runs through
_APART = ("cli", "restore", "studies", "training")


@cache
def machine() -> str:
    """The processor, its cores, and the versions that decide the times."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cores = torch.multiprocessing.cpu_count()
    return f"{processor()}, {cores} cores{gpu}; torch {torch.__version__}, Python {platform.python_version()}"


def processor() -> str:
    """The processor's name and its instructions for matrix products."""
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
    """A timing. ``machine`` and ``code`` are in its key, so that times of other machines or versions are not reused.

    ``threads`` is torch's number of threads.
    """

    threads: int = 1
    machine: str = field(default_factory=machine)
    code: str = field(default_factory=code)

    @property
    def work(self) -> float:
        """Estimated seconds, for the progress."""
        return 10.0

    def measure(self, tick: Tick) -> Result:
        """Runs the timing."""
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
    """The seconds of ``work``: CPU time if ``alone`` (it runs on one thread), otherwise wall-clock time.

    Other processes affect CPU time less: they compete for the caches, but their own time is not counted.
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
    """The seconds of each of ``works`` in ``rounds`` rounds. A round runs them one after the other; one warms up."""
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
    """Half the range of ``values`` relative to their median: how far the rounds disagree."""
    return (max(values) - min(values)) / 2 / statistics.median(values)


def about(job: Any) -> dict[str, Any]:
    """A job's record in results.json."""
    return {"job": type(job).__name__, **job.settings}

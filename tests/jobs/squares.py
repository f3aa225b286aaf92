"""Jobs of no time at all, and what can go wrong with them: what other processes do."""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posteriori.jobs.key import Job
from posteriori.jobs.store import Result, Store


@dataclass(frozen=True)
class Square(Job):
    """Numbers squared; ``how`` is what goes wrong."""

    numbers: tuple[int, ...]
    how: str = ""

    @property
    def label(self) -> str:
        return f"square of {self.numbers}"


@dataclass(frozen=True)
class Cube(Job):
    numbers: tuple[int, ...]
    how: str = ""


def work(job, tick):
    tick(0.5, "half of it")
    once = Path(job.how.removeprefix("killed once "))
    if job.how.startswith("killed once ") and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if job.how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.how == "leaves":
        os._exit(3)
    if job.how == "hangs":
        time.sleep(100)
    if job.how == "goes on and on":
        while True:
            time.sleep(0.05)
            tick(0.5, "half of it")
    if job.how == "raises":
        raise FloatingPointError(f"{job.label} is too large")
    if job.how == "tells its environment":
        return Result(dict(os.environ))
    x = np.array(job.numbers)
    return Result({"sum": float((x**2).sum()), "worst": np.nan}, {"x": x**2})


class Full(Store):
    """On a disk that takes no more."""

    def write(self, job, result):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Unknown:
    """Cannot be made again in another process."""

    def __reduce__(self):
        return os._exit, (5,)

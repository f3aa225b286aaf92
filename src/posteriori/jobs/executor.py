"""Who does jobs: this process, or what else is registered here. A cluster would be one more class with one method."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, Protocol, TypeVar

from posteriori.errors import PosterioriError
from posteriori.jobs.key import Job

J = TypeVar("J", bound=Job)

#: told how far a job is, from 0 to 1, with a note on it
Tick = Callable[[float, str], None]
#: does a job and keeps its result; it is pickled where another process is to do it
Do = Callable[[J, Tick], None]


class Event(NamedTuple):
    """A job begins, goes on, ends or fails: how much is ``done``, from 0 to 1, and which process does it.

    ``note`` says more of its progress, or why it failed; ``error`` is what it raised.
    """

    kind: Literal["begin", "progress", "end", "failure"]
    job: Job
    done: float = 0.0
    note: str = ""
    seconds: float = 0.0
    pid: int = 0
    error: Exception | None = None


Report = Callable[[Event], None]


class Executor(Protocol):
    """Does jobs.

    ``run`` calls ``do(job, tick)`` once for each of ``jobs``, which it asks for as it needs them, and reports every
    beginning, progress and end. What a job raises is raised, and what has not begun is dropped. A fault that is not the
    job's own (its machine is gone, its time is over) is reported as a failure, and the others go on. ``n`` is how many
    jobs are under way at once.
    """

    n: int

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None: ...


class Serial:
    """One job after the other, in this process."""

    def __init__(self, n: int = 1, timeout: float | None = None):
        if n != 1 or timeout:
            raise PosterioriError("serial does one job at a time, and takes its time: give a number of processes")
        self.n = n

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None:
        for job in jobs:
            pid, started = os.getpid(), time.monotonic()
            report(Event("begin", job, pid=pid))
            try:
                do(job, lambda done, note, job=job, pid=pid: report(Event("progress", job, done, note, pid=pid)))
            except Exception as error:
                report(Event("failure", job, note=str(error), pid=pid, error=error))
                raise
            report(Event("end", job, 1.0, seconds=time.monotonic() - started, pid=pid))


def _processes(n: int, timeout: float | None) -> Executor:
    from posteriori.jobs.processes import Processes

    return Processes(n, timeout)


#: by the name that ``--jobs NAME:N`` gives, what makes an executor of N workers and the seconds that a job may take
EXECUTORS: dict[str, Callable[[int, float | None], Executor]] = {"serial": Serial, "processes": _processes}


def executor(text: str, timeout: float | None = None) -> Executor:
    """``--jobs``: "4" is that many processes (1: this one), "NAME:4" another executor of ``EXECUTORS``.

    ``timeout`` is in seconds, for each job. Raises PosterioriError where the text is neither.
    """
    name, colon, number = text.rpartition(":")
    if number.isdecimal() and int(number) and (name in EXECUTORS if colon else True):
        alone = number == "1" and timeout is None
        return EXECUTORS[name or ("serial" if alone else "processes")](int(number), timeout)
    raise PosterioriError(
        f"--jobs is {text!r}: give a number of processes, or NAME:N with one of {', '.join(EXECUTORS)}"
    )

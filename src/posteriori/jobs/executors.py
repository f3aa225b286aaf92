"""Who does jobs: this process, or what else is registered here. A cluster would be one more class with one method."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

from posteriori.errors import PosterioriError
from posteriori.jobs.executor import Do, Event, Executor, J, Report
from posteriori.jobs.processes import Processes


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


#: by the name that ``--jobs NAME:N`` gives, what makes an executor of N workers and the seconds that a job may take
EXECUTORS: dict[str, Callable[[int, float | None], Executor]] = {"serial": Serial, "processes": Processes}


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

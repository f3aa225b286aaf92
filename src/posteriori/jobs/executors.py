"""Who does jobs: this process, other processes, or what else is registered here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from posteriori.errors import PosterioriError
from posteriori.jobs.executor import Do, Event, Executor, J, Report
from posteriori.jobs.faults import Fault
from posteriori.jobs.processes import Processes


class Serial:
    """One job after the other, in this process."""

    def __init__(self, n: int | None = None, timeout: float | None = None):
        if n not in (None, 1) or timeout:
            raise PosterioriError("serial does one job at a time, and takes its time: give --executor processes")
        self.n = 1

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None:
        for job in jobs:
            pid, started = os.getpid(), time.monotonic()
            report(Event("begin", job, pid=pid))
            try:
                do(job, lambda done, note, job=job, pid=pid: report(Event("progress", job, done, note, pid=pid)))
            except Fault as fault:
                report(Event("failure", job, note=str(fault), pid=pid, error=fault, fault=fault.kind))
            except Exception as error:
                report(Event("failure", job, note=str(error), pid=pid, error=error))
                raise
            else:
                report(Event("end", job, 1.0, seconds=time.monotonic() - started, pid=pid))


def _ray(n: int | None, timeout: float | None, **where: Any) -> Executor:
    from posteriori.jobs.cluster import Ray  # here, because Ray takes seconds to import

    return Ray(n, timeout, **where)


#: by the name that ``--executor`` gives, what makes one of N workers (None: as many as there is room for) and of the
#: seconds that a job may take
EXECUTORS: dict[str, Callable[..., Executor]] = {"serial": Serial, "processes": Processes, "ray": _ray}


def executor_of(
    name: str | None = None,
    n: int | None = None,
    timeout: float | None = None,
    *,
    address: str | None = None,
    gpus: float | None = None,
    threads: int | None = None,
) -> Executor:
    """The executor ``name`` of ``EXECUTORS`` with ``n`` workers; None: Ray with an ``address``, processes with several.

    ``timeout`` is in seconds, for each job. ``address``, ``gpus`` and ``threads`` are for Ray (``jobs/cluster.py``).
    Raises PosterioriError if there is no such executor.
    """
    if name is None:
        name = "ray" if address else "serial" if n in (None, 1) and timeout is None else "processes"
    if name not in EXECUTORS:
        raise PosterioriError(f"there is no executor {name!r}: give one of {', '.join(EXECUTORS)}")
    if name == "ray":
        return EXECUTORS[name](n, timeout, address=address, gpus=gpus or 0.0, threads=threads)
    if address or gpus:
        raise PosterioriError(f"{name} knows no cluster: leave out --address and --gpus-per-worker, or --executor ray")
    return EXECUTORS[name](n, timeout)

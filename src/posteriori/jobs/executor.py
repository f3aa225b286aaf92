"""What an executor of jobs is, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, Protocol, TypeVar

from posteriori.jobs.key import Job

J = TypeVar("J", bound=Job)

#: told how far a job is, from 0 to 1, with a note on it
Tick = Callable[[float, str], None]
#: does a job and keeps its result; it is pickled where another process is to do it
Do = Callable[[J, Tick], None]


class Event(NamedTuple):
    """A job begins, progresses, ends or fails: ``done`` is from 0 to 1, and the process is named.

    ``note`` describes its progress, or why it failed. ``fault`` is the kind of failure, if it stops no other job.
    ``error`` is what it raised.
    """

    kind: Literal["begin", "progress", "end", "failure"]
    job: Job
    done: float = 0.0
    note: str = ""
    seconds: float = 0.0
    pid: int = 0
    error: Exception | None = None
    fault: str = ""


Report = Callable[[Event], None]


class Executor(Protocol):
    """Does jobs.

    ``run`` calls ``do(job, tick)`` once for each of ``jobs``, which it asks for as needed, and reports beginnings,
    progress and ends. An exception of a job is raised, and jobs that have not begun are dropped. A fault (the machine
    is lost, the time is over, or the job raised a ``Fault``) is reported as a failure, and the others continue. ``n``
    is the number of jobs in progress at once.
    """

    n: int

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None: ...

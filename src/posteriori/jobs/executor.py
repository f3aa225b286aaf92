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
    """A job begins, goes on, ends or fails: how much is ``done``, from 0 to 1, and which process does it.

    ``note`` says more of its progress, or why it failed; ``fault`` of which kind that is, where it stops no other job;
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

    ``run`` calls ``do(job, tick)`` once for each of ``jobs``, which it asks for as it needs them, and reports every
    beginning, progress and end. What a job raises is raised, and what has not begun is dropped. A fault (its machine is
    gone, its time is over, or it raised a ``Fault``) is reported as a failure, and the others go on. ``n`` is how many
    jobs are under way at once.
    """

    n: int

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None: ...

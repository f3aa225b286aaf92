"""Doing the jobs whose results are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from posteriori.files import room_in
from posteriori.jobs.executor import Event, Executor, Report, Tick
from posteriori.jobs.faults import JobsFailed
from posteriori.jobs.key import Job
from posteriori.jobs.store import Keeps

J = TypeVar("J", bound=Job)


def missing(jobs: Iterable[J], store: Keeps[J, Any]) -> list[J]:
    """The different ones of ``jobs`` whose results are not there, in their order."""
    return [job for job in {job.key: job for job in jobs}.values() if not store.done(job)]


@dataclass(frozen=True)
class Kept(Generic[J]):
    """Does a job and keeps its result."""

    work: Callable[[J, Tick], Any]
    store: Keeps[J, Any]

    def __call__(self, job: J, tick: Tick) -> None:
        self.store.write(job, self.work(job, tick))


def run(
    jobs: Iterable[J],
    work: Callable[[J, Tick], Any],
    store: Keeps[J, Any],
    executor: Executor,
    report: Report = lambda _: None,
    *,
    place: object = "the store",
) -> None:
    """Has ``executor`` do ``jobs`` by ``work(job, tick)`` and keep the results in ``store``.

    Raises what a job raises; of a full disk what to do, with ``place`` for its name; and at the end ``JobsFailed``
    where faults, such as a process that died, kept jobs from theirs.
    """
    faults: list[str] = []

    def told(event: Event) -> None:
        if event.kind == "failure":
            faults.append(event.note)
        report(event)

    with room_in(place):
        executor.run(jobs, Kept(work, store), told)
    if faults:
        raise JobsFailed(faults)

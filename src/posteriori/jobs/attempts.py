"""Jobs tried more than once: what fails each time is set aside with its error, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from posteriori.files import first_line
from posteriori.jobs.executor import Event, Executor, Report, Tick
from posteriori.jobs.faults import Fault, JobsFailed
from posteriori.jobs.key import Job
from posteriori.jobs.run import run
from posteriori.jobs.store import Keeps

J = TypeVar("J", bound=Job)

#: how often a job is tried
TIMES = 3


@dataclass(frozen=True)
class Spared(Generic[J]):
    """Does ``work``; what that raises is a fault of the job's own, and stops no other."""

    work: Callable[[J, Tick], Any]

    def __call__(self, job: J, tick: Tick) -> Any:
        try:
            return self.work(job, tick)
        except Exception as error:
            kind = type(error).__name__
            raise Fault(kind, f"{job.label}: {kind}: {first_line(error)}") from error


def persist(
    jobs: Iterable[J],
    work: Callable[[J, Tick], Any],
    store: Keeps[Any, Any],
    executor: Executor,
    report: Report = lambda _: None,
    *,
    place: object = "the store",
) -> list[Event]:
    """``run``, with what failed tried again after the others, ``TIMES`` times in all; the last failure of the rest.

    A store that cannot be written to stops everything, as in ``run``.
    """
    left: Iterable[Any] = jobs
    patient: Spared[Any] = Spared(work)
    failed: dict[str, Event] = {}

    def told(event: Event) -> None:
        if event.kind == "failure":
            failed[event.job.key] = event
        report(event)

    for _ in range(TIMES):
        failed.clear()
        try:
            run(left, patient, store, executor, told, place=place)
        except JobsFailed:
            left = [event.job for event in failed.values()]
        else:
            break
    return list(failed.values())

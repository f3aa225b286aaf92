"""What people see of jobs that are under way: on stderr, and only where that is a terminal."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rich.live import Live
from rich.progress import Progress
from rich.table import Table

from posteriori.files import parse_json
from posteriori.jobs.executor import Event, Report
from posteriori.jobs.key import Job
from posteriori.progress import bar
from posteriori.terminal import console

#: what a bar shows besides: the note of what is under way
NOTE = "{task.fields[note]}"
#: seconds between two lines of the log on one job
_PULSE = 1.0


def together(*reports: Report) -> Report:
    """All of them are told."""

    def tell(event: Event) -> None:
        for report in reports:
            report(event)

    return tell


def log(path: Path) -> Report:
    """Adds a line of JSON to the file ``path`` for every beginning, end and failure, and some of the progress."""
    told: dict[str, float] = {}

    def write(event: Event) -> None:
        now, key = time.monotonic(), event.job.key
        if event.kind == "progress" and now - told.get(key, now) < _PULSE:
            return
        told[key] = now
        entry = {"job": key, "label": event.job.label, "event": event.kind, "done": event.done, "pid": event.pid}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry | {"seconds": round(event.seconds, 3), "time": round(time.time(), 1)}) + "\n")

    return write


def seconds_taken(path: Path) -> dict[str, float]:
    """By the job's key, how long it took the last time that it was done, as the log at ``path`` has it."""
    took = {}
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            entry = parse_json(line)
        except ValueError:  # what a kill cut short
            continue
        if isinstance(entry, dict) and entry.get("event") == "end" and isinstance(entry.get("seconds"), int | float):
            took[str(entry.get("job"))] = entry["seconds"]
    return took


def clock(seconds: float) -> str:
    """As people read it: 0:01:30."""
    return str(timedelta(seconds=max(0, round(seconds))))


def announced(seconds: float, missing: int, total: int, unit: str) -> str:
    """What is left, and what of the ``total`` jobs, called ``unit``, is there already."""
    there = f", {total - missing} of {total} {unit} are there already" if total > missing else ""
    return f"about {clock(seconds)} left{there}"


@contextmanager
def shown(title: str, seconds: Mapping[str, float], *, quiet: bool = False) -> Generator[Report]:
    """A bar of the work, as the estimated ``seconds`` of each job, by key, weigh it; with what is under way."""
    with bar(NOTE, quiet=quiet) as progress:
        yield added(progress, title, seconds)


def added(progress: Progress, title: str, seconds: Mapping[str, float]) -> Report:
    """Another line of ``progress``, whose fields are ``NOTE``: see ``shown``."""
    task = progress.add_task(title, total=sum(seconds.values()), note="")
    done: dict[str, float] = {}

    def tell(event: Event) -> None:
        done[event.job.key] = 1.0 if event.kind in ("end", "failure") else event.done
        completed = sum(seconds[key] * fraction for key, fraction in done.items())
        progress.update(task, completed=completed, note=event.note or event.job.label)

    return tell


class Board:
    """A live table: a row for each part of the work, what is done of it, under way and left.

    ``parts`` has the jobs of each, ``seconds`` the estimate of each job that is to be done, by key: they weigh the
    work; the speed is the measured one. ``later`` is the estimate of what comes after all this. Below stand how many
    restorations a second are done, and the failures by kind.
    """

    def __init__(self, parts: Mapping[str, Sequence[Job]], seconds: Mapping[str, float], later: float = 0.0):
        self.parts, self.seconds, self.later = parts, seconds, later
        self.left = dict(seconds)
        self.running: dict[str, Event] = {}
        self.done, self.faults = 0, Counter[str]()
        self.began = time.monotonic()

    def __call__(self, event: Event) -> None:
        key = event.job.key
        if event.kind == "begin":
            self.left[key] = self.seconds[key]  # it may have failed before
        self.running[key] = event
        if event.kind in ("end", "failure"):
            self.running.pop(key)
            self.left.pop(key, None)
            self.done += event.job.size if event.kind == "end" else 0
            self.faults.update([event.fault or "raised"] if event.kind == "failure" else [])

    @contextmanager
    def live(self, *, quiet: bool = False) -> Generator[Report]:
        """Shown while the block runs."""
        self.began, to = time.monotonic(), console(stderr=True)
        if quiet or not to.is_terminal:
            yield self
            return
        with Live(get_renderable=self.table, console=to, refresh_per_second=2, transient=True):
            yield self

    def work(self, jobs: Sequence[Job]) -> float:
        """The seconds that are left of ``jobs``, as they were estimated."""
        under_way = {key: event.done for key, event in self.running.items()}
        return sum(self.left.get(job.key, 0.0) * (1 - under_way.get(job.key, 0.0)) for job in jobs)

    def table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("part", "done", "running", "left", "time left"):
            table.add_column(name, justify="left" if name in ("part", "running") else "right")
        work = sum(map(self.work, self.parts.values()))
        worked = sum(self.seconds.values()) - work
        pace = (time.monotonic() - self.began) / worked if worked > 1 else 1.0
        for part, jobs in self.parts.items():
            own = [self.running[job.key] for job in jobs if job.key in self.running]
            running = ", ".join(f"{event.job.label.partition(' ')[0]} {event.done:.0%}" for event in own)
            left = sum(job.key in self.left for job in jobs)
            time_left = clock(pace * self.work(jobs)) if left else "-"
            table.add_row(part, str(len(jobs) - left), running, str(left), time_left)
        if self.later:
            table.add_row("later parts", "", "", "", clock(pace * self.later))
        total = sum(map(len, self.parts.values()))
        table.add_section()
        table.add_row(
            "all", str(total - len(self.left)), "", str(len(self.left)), clock(pace * (work + self.later)), style="bold"
        )
        failures = ", ".join(f"{count} {kind}" for kind, count in self.faults.most_common())
        rate = self.done / max(time.monotonic() - self.began, 1e-9)
        table.caption = f"{rate:.2g} a second" + (f"; failures: {failures}" if failures else "")
        table.caption_justify = "left"
        return table

"""How fast jobs are done, as a CSV that grows while they are."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from posteriori.jobs.executor import Event
from posteriori.jobs.store import Files

THROUGHPUT = "throughput.csv"
#: seconds between two lines
_PULSE = 10.0
_HEADER = "time,seconds,done,failed,running,per_second\n"


class Throughput:
    """A ``Report`` that adds a line to ``THROUGHPUT`` every ten seconds: Unix time, seconds since the command began,
    restorations done and jobs that failed since then, jobs under way, and restorations a second since the last line.
    """

    def __init__(self, files: Files):
        self.files = files
        self.text = files.get(THROUGHPUT).decode("utf-8", "replace") if files.has(THROUGHPUT) else _HEADER
        self.began = self.last = time.monotonic()
        self.done = self.failed = self.before = 0
        self.running: set[str] = set()

    def __call__(self, event: Event) -> None:
        if event.kind == "begin":
            self.running.add(event.job.key)
        elif event.kind in ("end", "failure"):
            self.running.discard(event.job.key)
            self.done += event.job.size if event.kind == "end" else 0
            self.failed += event.kind == "failure"
        if time.monotonic() - self.last >= _PULSE:
            self.write()

    def write(self) -> None:
        now = time.monotonic()
        rate = (self.done - self.before) / max(now - self.last, 1e-9)
        counts = f"{self.done},{self.failed},{len(self.running)}"
        self.text += f"{time.time():.0f},{now - self.began:.1f},{counts},{rate:.4g}\n"
        self.last, self.before = now, self.done
        self.files.put(THROUGHPUT, lambda file: file.write(self.text.encode()))


@contextmanager
def recorded(files: Files) -> Generator[Throughput]:
    """In ``files`` while the block runs; nothing is written where nothing was done."""
    throughput = Throughput(files)
    try:
        yield throughput
    finally:
        if throughput.done + throughput.failed:
            throughput.write()

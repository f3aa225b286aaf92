"""A live table of what is done, running and left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.table import Table

from posteriori.experiments.engine.execute import Task
from posteriori.experiments.engine.plan import Item, distinct
from posteriori.terminal import console


class Silent:
    """A watcher that shows nothing."""

    def begin(self, item: Item, i: int) -> None: ...
    def calls(self, item: Item, i: int, calls: int) -> None: ...
    def end(self, item: Item, i: int) -> None: ...


class Board:
    """The watcher of ``execute`` that people see: a row for each part, on stderr where that is a terminal.

    ``estimate`` is the seconds of a group by its run's key: they weigh the work; the speed is the measured one.
    ``steps`` are the network calls of a group, ``later`` the estimate of what comes after all this.
    """

    def __init__(
        self,
        items: Sequence[Item],
        tasks: Sequence[Task],
        estimate: Mapping[str, float],
        steps: Mapping[str, int],
        later: float = 0.0,
    ):
        self.estimate, self.steps, self.later = estimate, steps, later
        self.total = dict.fromkeys(dict.fromkeys(item.part for item in items), 0)
        self.left, self.work = dict(self.total), dict.fromkeys(self.total, 0.0)
        for item in distinct(items):
            self.total[item.part] += len(item.run.groups)
        for task in tasks:
            self.left[task.item.part] += 1
            self.work[task.item.part] += estimate[task.item.run.key]
        self.running: dict[tuple[str, int], tuple[Item, float]] = {}
        self.began = time.monotonic()
        self.worked = 0.0
        self.live = Live(get_renderable=self.table, console=console(stderr=True), refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        if self.live.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.live.stop()

    def begin(self, item: Item, i: int) -> None:
        self.running[item.run.key, i] = (item, 0.0)

    def calls(self, item: Item, i: int, calls: int) -> None:
        self.running[item.run.key, i] = (item, min(1.0, calls / max(1, self.steps[item.run.key])))

    def end(self, item: Item, i: int) -> None:
        self.running.pop((item.run.key, i), None)
        self.left[item.part] -= 1
        self.work[item.part] -= self.estimate[item.run.key]
        self.worked += self.estimate[item.run.key]

    def _pace(self) -> float:
        """Seconds for a second that was estimated."""
        worked = self.worked + sum(self.estimate[i.run.key] * fraction for i, fraction in self.running.values())
        return (time.monotonic() - self.began) / worked if worked > 1 else 1.0

    def table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for name in ("part", "done", "running", "left", "time left"):
            table.add_column(name, justify="left" if name in ("part", "running") else "right")
        pace = self._pace()
        for part, total in self.total.items():
            own = [(item, fraction) for item, fraction in self.running.values() if item.part == part]
            running = ", ".join(f"{item.run.method.partition('(')[0]} {fraction:.0%}" for item, fraction in own)
            work = self.work[part] - sum(self.estimate[item.run.key] * fraction for item, fraction in own)
            left = self.left[part]
            table.add_row(part, str(total - left), running, str(left), _time(pace * work) if left else "-")
        left = sum(self.work.values()) - sum(self.estimate[i.run.key] * f for i, f in self.running.values())
        if self.later:
            table.add_row("later parts", "", "", "", _time(pace * self.later))
            left += self.later
        done = sum(self.total.values()) - sum(self.left.values())
        table.add_section()
        table.add_row("all", str(done), "", str(sum(self.left.values())), _time(pace * left), style="bold")
        return table


def _time(seconds: float) -> str:
    return str(timedelta(seconds=max(0, round(seconds))))

"""The one look of every progress bar: what, how far, a task's fields, time gone and left. On stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posteriori.terminal import console

if TYPE_CHECKING:
    from rich.progress import Progress


def bar(fields: str, *, transient: bool = False, quiet: bool = False) -> Progress:
    """A rich progress bar that shows ``fields``, a format of those of the task.

    Silent where stderr is no terminal, or with ``quiet``.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    to = console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(fields, markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=to,
        transient=transient,
        disable=quiet or not to.is_terminal,
        speed_estimate_period=120,
    )

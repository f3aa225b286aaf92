"""Computes the cells that are not done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from posteriori.jobs.executor import Executor
from posteriori.jobs.progress import announced, shown
from posteriori.jobs.run import missing
from posteriori.jobs.run import run as run_jobs
from posteriori.jobs.store import Store
from posteriori.studies.verification.cells import Cell, Record, record, work
from posteriori.studies.verification.cost import seconds


def run(
    cells: Sequence[Cell],
    out: Path,
    executor: Executor,
    *,
    quiet: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[Cell, Record]:
    """The record of each of ``cells``; those that are in ``out``/cells are not computed again.

    ``say`` is told beforehand how long the others will take.
    """
    store = Store(out / "cells", say)
    left = missing(cells, store)
    if left:
        torch.set_num_threads(1)  # as each cell has it
        estimate = seconds(left)
        total = sum(estimate.values()) / executor.n
        say(announced(total, len(left), len(cells), "cells"))
        with shown("verify", {cell.key: each for cell, each in estimate.items()}, quiet=quiet) as report:
            run_jobs(left, work, store, executor, report, place=out)
    return done(cells, out)


def done(cells: Sequence[Cell], out: Path) -> dict[Cell, Record]:
    """The records that ``out``/cells has of ``cells``."""
    store = Store(out / "cells")
    return {cell: record(found) for cell in cells if (found := store.read(cell))}

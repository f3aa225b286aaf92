"""Doing the cells that are not done, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import torch

from posteriori.experiments.engine.pool import share
from posteriori.experiments.verification.cells import Cell, Record, Store
from posteriori.experiments.verification.cost import seconds
from posteriori.progress import bar


def run(
    cells: Sequence[Cell], out: Path, *, jobs: int = 1, quiet: bool = False, say: Callable[[str], None] = lambda _: None
) -> dict[Cell, Record]:
    """The record of each of ``cells``; those that are in ``out``/cells are not computed again.

    ``say`` is told beforehand how long the others will take.
    """
    _start(out / "cells")
    missing = [cell for cell in cells if _store.read(cell) is None]
    if missing:
        estimate = seconds(missing)
        there = f", {len(cells) - len(missing)} of {len(cells)} cells are there already"
        total = timedelta(seconds=round(sum(estimate.values()) / jobs))
        say(f"about {total} left{there if len(missing) < len(cells) else ''}")
        with bar("s of work, {task.fields[cell]}", quiet=quiet) as progress:
            task = progress.add_task("verify", total=round(sum(estimate.values())), cell="")

            def began(cell: Cell) -> None:
                progress.update(task, cell=f"{cell.method} on {cell.problem.family}")

            def finished(cell: Cell) -> None:
                progress.advance(task, estimate[cell])

            if jobs > 1:
                share(_work, missing, jobs, _start, (out / "cells",), began, finished)
            else:
                for cell in missing:
                    began(cell)
                    _work(cell)
                    finished(cell)
    return done(cells, out)


def done(cells: Sequence[Cell], out: Path) -> dict[Cell, Record]:
    """The records that ``out``/cells has of ``cells``."""
    store = Store(out / "cells")
    return {cell: record for cell in cells if (record := store.read(cell))}


_store: Store


def _start(folder: Path) -> None:
    global _store
    _store = Store(folder)
    torch.set_num_threads(1)  # no figure is to depend on the number of cores


def _work(cell: Cell) -> None:
    _store.write(cell, cell.compute())

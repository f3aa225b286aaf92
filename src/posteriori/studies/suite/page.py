"""A suite's page: a table for each task, with the results measured here above the published ones."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from posteriori.images.files import to_tensor
from posteriori.images.sheets import comparison
from posteriori.jobs.executor import Event
from posteriori.studies.page import Page, Plot, Section, write_page
from posteriori.studies.suite.run import METRICS, Row, best
from posteriori.studies.suite.shelf import Shelf
from posteriori.studies.suite.suite import Published, Suite, Task
from posteriori.studies.table import Table, write_csv
from posteriori.studies.wording import counted

PAGE, TEXT, CSV, FAILURES = "index.html", "bench.md", "bench.csv", "failures.csv"

_DIGITS = {"psnr": 2, "ssim": 3, "lpips": 4, "lpips_vgg": 4, "residual": 2}
_COLUMNS = ("method", "PSNR (dB)", "SSIM", "LPIPS", "LPIPS, VGG", "residual", "calls", "settings and source")


def write(suite: Suite, rows: Sequence[Row], pictures: Shelf, prior: str, failed: Sequence[Event], out: Path) -> Path:
    """Writes the page, its markdown, its pictures and CSVs into ``out``, and returns the page's path."""
    write_csv([row.record for row in rows], out / CSV)
    command = shlex.join(["posteriori", *sys.argv[1:]])
    sections = [section(task, suite, rows, pictures, out) for task in suite.tasks]
    if failed:
        sections.append(_failures(failed))
        write_csv([{"batch": e.job.label, "kind": e.fault, "error": e.note} for e in failed], out / FAILURES)
    else:
        (out / FAILURES).unlink(missing_ok=True)
    page = Page(f"The suite {suite.name}", _lead(suite, rows, prior), command, sections)
    write_page(page, out, html=PAGE, markdown=TEXT)
    return out / PAGE


def section(task: Task, suite: Suite, rows: Sequence[Row], pictures: Shelf, out: Path) -> Section:
    """A task's table, and the restorations of the first picture."""
    own = [row for row in rows if row.cell.task == task]
    others = [row for row in suite.published if row.task == task.name]
    bold = {name: best(own, name, not name.startswith("lpips")) for name in METRICS if name != "residual"}
    lines = [_ours(row, bold) for row in own] + [_theirs(row) for row in others]
    # without empty columns, such as LPIPS with VGG if not asked for
    there = [i for i, cells in enumerate(zip(*lines, strict=True)) if any(cells)]
    columns, lines = tuple(_COLUMNS[i] for i in there), [tuple(line[i] for i in there) for line in lines]
    operator = own[0].cell.run.operator if own else task.operator
    chosen = f" Metrics are of the sample with the smallest residual of {task.best_of}." if task.best_of > 1 else ""
    note = f"Bold: the best of those measured here. Brackets: 95% intervals over pictures.{chosen}"
    title = f"{operator}, noise sigma {task.sigma:g} on [-1, 1]"
    kept = [row for row in own if row.first]
    shown = [_shown(task, kept, pictures, out)] if kept else []
    return Section(task.label, tables=[Table(title, note, columns, lines)], pictures=shown)


def _shown(task: Task, rows: Sequence[Row], pictures: Shelf, out: Path) -> Plot:
    """The first picture, its measurement if that is a picture no larger, and every method's sample."""
    label, key = rows[0].cell.run.images[0]
    rows = [row for row in rows if row.cell.run.images[0][1] == key]
    truth, firsts = pictures[key], [(row, row.first) for row in rows]
    panels = [("the truth", truth)]
    measured = next((to_tensor(kept["y"]) for _, kept in firsts if "y" in kept), None)
    if measured is not None and measured.shape[-1] <= truth.shape[-1]:
        panels.append(("the measurement", measured))
    for row, kept in firsts:
        if "x" in kept:
            name, decibel = row.cell.run.method.partition("(")[0], row.counted("psnr").flat[0]
            panels.append((f"{name}\n{decibel:.2f} dB", to_tensor(kept["x"])))
    path = out / f"{task.name}.png"
    comparison(panels, path, title="", zoom=None)
    return Plot(path, f"The first picture, {label}, and the PSNR of each sample.", f"{task.label}: {label}")


def _failures(failed: Sequence[Event]) -> Section:
    lines = [(event.job.label, event.fault, event.note) for event in failed]
    note = (
        "These batches failed every time. Their pictures are not in any row above. The same command tries them again."
    )
    return Section("Left out", tables=[Table("Batches that failed", note, ("batch", "kind", "error"), lines)])


def _ours(row: Row, bold: dict[str, Row | None]) -> tuple[str, ...]:
    metrics = []
    for name in METRICS:
        text = row.estimate(name).text(_DIGITS[name])
        metrics.append(f"**{text}**" if text and bold.get(name) is row else text)
    method = row.cell.run.method
    return method.partition("(")[0], *metrics, str(row.calls), f"{method}: {row.cell.entry.source}"


def _theirs(row: Published) -> tuple[str, ...]:
    psnr, lpips, vgg = ("" if value is None else f"{value:g}" for value in (row.psnr, row.lpips, row.lpips_vgg))
    return f"{row.method}, published", psnr, "", lpips, vgg, "", "", f"{row.source}; {row.protocol}"


def _lead(suite: Suite, rows: Sequence[Row], prior: str) -> list[str]:
    pictures = len(rows[0].cell.run.images) if rows else 0
    lead = [
        f"{suite.about} Measured here with the prior {prior} on {pictures} pictures, with "
        f"{counted(suite.seeds, 'seed')} each.",
        "PSNR, SSIM and LPIPS (AlexNet; VGG with --lpips vgg) are of samples, not of their mean. The residual "
        "|y - A x| / (sigma sqrt m) is about 1 for the truth. Calls are network calls per picture.",
    ]
    if suite.published:
        lead.append(
            "Rows marked published are others' results. Compare them with those measured here only if pictures, noise "
            "and the LPIPS network are the same: see their protocol."
        )
    if prior != suite.prior:
        lead.append(f"The suite is for {suite.prior}, and its published rows are for that prior.")
    return lead

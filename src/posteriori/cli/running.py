"""What `restore` and `denoise` share: a run over files with a bar, a table and an exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from posteriori.jobs.executor import Event, Executor
    from posteriori.jobs.key import Job
    from posteriori.jobs.memory import Checkpointing
    from posteriori.restore.entry import Case
    from posteriori.restore.plans import Plan
    from posteriori.restore.restoration import Restoration
    from posteriori.restore.summary import Outcome

#: pixels from which a picture's time is worth an estimate
LARGE = 256 * 256
#: total steps from which the two that are timed for an estimate do not matter
WORTH_TIMING = 200
#: seconds from which an estimate is printed
LONG = 10


@dataclass(frozen=True)
class Manner:
    """How a run behaves towards its folder and its user."""

    overwrite: bool
    quiet: bool
    as_json: bool
    checkpointing: Checkpointing = "auto"
    executor: Executor | None = None


def run(
    plans: Sequence[Plan],
    out: Path,
    manner: Manner,
    *,
    unread: Sequence[str] = (),
    failed: Sequence[Outcome] = (),
) -> None:
    """Restores, shows what was done, and exits with 1 if an input failed.

    ``unread`` files are named. ``failed`` are the inputs that have failed already.
    """
    from posteriori.jobs.lock import claimed_folder
    from posteriori.jobs.progress import NOTE
    from posteriori.progress import bar
    from posteriori.restore.summary import summary, write_summary

    outcomes = list(failed)
    with claimed_folder(out), bar(NOTE, quiet=manner.quiet) as progress:
        if unread and not manner.quiet:
            progress.console.print(f"posteriori: not read: {_several(unread)}", soft_wrap=True, markup=False)
        for outcome in failed:
            progress.console.print(f"posteriori: {outcome.error}", soft_wrap=True)
        outcomes += _restored(plans, out, manner, progress)
        write_summary(out)
    order = [*(source for _, sources in plans for source in sources), *(outcome.source for outcome in failed)]
    rows = [summary(outcome, out) for outcome in sorted(outcomes, key=lambda o: order.index(o.source))]
    if manner.as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not manner.quiet and any(row["folder"] for row in rows):
        _print_table(rows, out)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _restored(plans: Sequence[Plan], out: Path, manner: Manner, progress: Progress) -> list[Outcome]:
    """Restores the inputs, and returns their outcomes; ``progress`` shows them."""
    from posteriori.restore.run import restore
    from posteriori.restore.work import Batch

    outcomes: list[Outcome] = []
    company = {source: (restoration, len(sources)) for restoration, sources in plans for source in sources}
    task = progress.add_task("reading", total=sum(restoration.steps for restoration, _ in company.values()), note="")
    done: dict[Job, float] = {}  # steps, by batch

    def report(event: Event) -> None:
        if isinstance(event.job, Batch):
            part = 0.0 if event.fault else event.done
            done[event.job] = part * event.job.restoration.steps * len(event.job.cases)
        progress.update(task, completed=sum(done.values()), description=event.job.label, note=event.note)

    def announce(restoration: Restoration, case: Case) -> None:
        if not manner.quiet:
            _print_settings(restoration, case, company[case.source][1], progress.console)

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.error:
            progress.console.print(f"posteriori: {outcome.error}", soft_wrap=True)
        if outcome.error or outcome.there:  # no work, hence no part of the time left
            steps = company[outcome.source][0].steps
            progress.update(task, total=(progress.tasks[task].total or 0) - steps)

    def say(text: str) -> None:
        if not manner.quiet:
            progress.console.print(f"posteriori: {text}", soft_wrap=True)

    watched: dict[str, Any] = {"announce": announce, "report": report, "told": told, "say": say}
    how: dict[str, Any] = {"checkpointing": manner.checkpointing, "executor": manner.executor}
    restore(plans, out, overwrite=manner.overwrite, **how, **watched)
    return outcomes


def _print_settings(restoration: Restoration, case: Case, count: int, console: Console) -> None:
    """Prints settings that were not typed: the noise on both scales, the sources of others, and the time if long."""
    from rich.text import Text

    from posteriori.restore.budget import seconds_of_a_picture

    lines, (height, width) = restoration.describe(case), case.prior.shape[-2:]
    work = count * restoration.method.n * restoration.steps
    if height * width >= LARGE or work >= WORTH_TIMING:
        seconds = seconds_of_a_picture(restoration, case)
        if seconds and count * seconds > LONG:
            whole = f", {timedelta(seconds=round(count * seconds))} in all" if count > 1 else ""
            lines.append(("time", f"about {timedelta(seconds=round(seconds))} a picture{whole}"))
    for name, text in lines:
        console.print(Text.assemble((f"{name:<8}", "bold"), (text, "dim")), soft_wrap=True)


def _several(names: Sequence[str], shown: int = 5) -> str:
    """The first few of ``names``, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _print_table(rows: list[dict[str, Any]], out: Path) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from posteriori.terminal import console

    forms = {"psnr": ("PSNR\n(dB)", ".2f"), "ssim": ("SSIM", ".3f"), "lpips": ("LPIPS", ".4f")}
    forms |= {"psnr_of_a_sample": ("of a\nsample", ".2f"), "coverage": ("coverage", ".3f")}
    forms |= {
        "residual": ("residual", ".2f"),
        "explaining": ("explain\ny", ".0%"),
        "shift": ("shift", ".2f"),
        "seconds": ("seconds", ".1f"),
    }
    shown = {name: form for name, form in forms.items() if any(row[name] is not None for row in rows)}
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)  # nine columns in 80
    table.add_column("restored", overflow="fold", min_width=min(16, max(len(row["name"]) for row in rows)))
    for title, _ in shown.values():
        table.add_column(title, justify="right")
    for row in rows:
        cells = ["" if row[name] is None else format(row[name], form) for name, (_, form) in shown.items()]
        table.add_row(Text.assemble(row["name"], "" if row["folder"] else (" (failed)", "red")), *cells)
    to = console()
    to.print(table)
    for text, key in (
        ("residual of 95% of true images: {:.3f} to {:.3f}", "residual_of_true_images"),
        ("shift of 95% of pictures that the prior knows: {:.2f} to {:.2f}", "shift_of_known_pictures"),
    ):
        ranges = {tuple(row[key]) for row in rows if row[key]}
        if len(ranges) == 1:
            to.print(text.format(*ranges.pop()))
    for row in rows:
        if row["residuals"]:
            residuals = ", ".join(f"{own:.3f}" for own in row["residuals"])
            to.print(Text(f"residuals of the samples of {row['name']}: {residuals}"), soft_wrap=True)
        for warning in row["warnings"]:
            to.print(Text(f"warning: {row['name']}: {warning}"), soft_wrap=True)
    notes: dict[str, list[str]] = {}
    for row in rows:
        for note in row["notes"]:
            notes.setdefault(note, []).append(row["name"])
    for note, names in notes.items():
        to.print(Text(f"note: {_several(names)}: {note}"), soft_wrap=True)
    done = sum(row["error"] is None for row in rows)
    to.print(f"{done} of {len(rows)} in {out}: look at comparison.png in each folder", soft_wrap=True)

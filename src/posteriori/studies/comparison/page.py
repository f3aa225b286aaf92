"""A comparison for people: one page, figures, and tables as CSV and LaTeX."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from posteriori.files import atomic_path
from posteriori.studies import plots
from posteriori.studies.comparison.results import METRICS, Measured, Results, Task
from posteriori.studies.comparison.statistics import (
    ALPHA,
    Difference,
    best,
    differences,
    front,
    mean,
    overall,
    ranks,
)
from posteriori.studies.page import Page, Plot, Section, write_page
from posteriori.studies.table import Table, write_csv
from posteriori.studies.wording import counted

PAGE, TEXT, METHODS, PAIRS, LATEX = "index.html", "compare.md", "methods.csv", "differences.csv", "compare.tex"
NAMES = {
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "lpips_vgg": "LPIPS, VGG",
    "hole": "PSNR in the hole (dB)",
}
_NAMES = {metric: name.removesuffix(" (dB)") for metric, name in NAMES.items()}  # in sentences
_DIGITS = {"psnr": 2, "ssim": 3, "lpips": 4, "lpips_vgg": 4, "hole": 2}


def write(results: Results, metric: str, out: Path, *, by_task: bool) -> Path:
    """Writes the page, its figures, CSVs and LaTeX into ``out``, and returns the page's path."""
    whole = overall(results.tasks)
    shown = list(results.tasks) if by_task or whole is None else [whole]
    pairs = differences(shown, metric)
    sections = [_section(task, metric, pairs, out) for task in shown]
    if versions := _versions(shown, metric, pairs):
        sections.insert(0, versions)
    write_csv([_record(task, own, metric) for task in shown for own in task.methods], out / METHODS)
    write_csv([_pair(own) for own in pairs], out / PAIRS)
    with atomic_path(out / LATEX) as path:
        path.write_text("\n".join(_latex(section.tables[-1]) for section in sections), "utf-8")
    command = shlex.join(["posteriori", *sys.argv[1:]])
    page = Page(f"Methods compared by {_NAMES[metric]}", _lead(results, metric, len(pairs)), command, sections)
    write_page(page, out, html=PAGE, markdown=TEXT)
    return out / PAGE


def _lead(results: Results, metric: str, tests: int) -> list[str]:
    better = "Higher" if METRICS[metric] else "Lower"
    return [
        f"{better} {_NAMES[metric]} is better. Every difference is paired by picture, after averaging over the seeds "
        "of a picture. It is positive where the method is better. Brackets are 95% bootstrap intervals over pictures. "
        "They are not corrected for the number of pairs.",
        f"A star marks a significant difference: Wilcoxon's signed-rank test with Holm's correction for all {tests} "
        f"pairs on this page. At most {ALPHA:.0%} of such pages have a false star. Fewer than 6 pictures cannot give a "
        "star.",
        *(f"{line}." for line in results.about),
        *results.notes,
    ]


def _section(task: Task, metric: str, pairs: Sequence[Difference], out: Path) -> Section:
    stem = task.name.replace(" ", "-")
    placed = dict(zip([own.label for own in task.methods], ranks(task, metric), strict=True))
    order = sorted(task.methods, key=lambda own: placed[own.label].mean)
    figures = [
        Plot(
            plots.save(_rank_plot(task, order, placed), out / f"ranks-{stem}"),
            "Mean rank over pictures with 95% intervals; 1 is best. A method that diverged is last on that picture.",
            f"Ranks on {task.name}",
        ),
        Plot(
            plots.save(_front_plot(task, metric), out / f"front-{stem}"),
            f"{_NAMES[metric]} against network calls, with 95% intervals. Blue: the Pareto front. No method with as "
            "few calls is better than these.",
            f"{_NAMES[metric]} against network calls on {task.name}",
        ),
    ]
    n = len(task.pictures)
    of = f"{task.operator}, noise sigma {task.sigma:g} on [-1, 1]" if task.operator else "Means over tasks"
    top = best(task, metric)
    note = f"Differences are to {top.label}, which has the best mean (bold). Diverged: the number of pictures."
    rows = [_row(own, top, metric, placed[own.label].text(2), _found(pairs, task, top, own)) for own in order]
    columns = ("method", NAMES[metric], f"difference to {top.label}", "rank", "calls", "diverged")
    title = task.name if task.operator else task.name.capitalize()
    return Section(title, tables=[Table(f"{of}; {counted(n, 'picture')}", note, columns, rows)], pictures=figures)


def _found(pairs: Sequence[Difference], task: Task, first: Measured, second: Measured) -> tuple[Difference, int] | None:
    """The difference of two methods, and its sign as second minus first."""
    for own in pairs:
        if own.task == task.name and {own.first.label, own.second.label} == {first.label, second.label}:
            return own, 1 if own.second.label == second.label else -1
    return None


def _row(own: Measured, top: Measured, metric: str, rank: str, found: tuple[Difference, int] | None) -> tuple[str, ...]:
    value = mean(own).text(_DIGITS[metric])
    value = f"**{value}**" if own is top else value
    return own.label, value, _signed(found, metric), rank, str(own.calls), str(own.diverged)


def _signed(found: tuple[Difference, int] | None, metric: str) -> str:
    """A difference as tables have it: "-0.41 [-0.60, -0.22] *"."""
    if not found:
        return ""
    pair, sign = found
    estimate = pair.estimate if sign > 0 else pair.estimate.negative
    return estimate.text(_DIGITS[metric], "+") + (" *" if pair.sure else "")


def _versions(tasks: Sequence[Task], metric: str, pairs: Sequence[Difference]) -> Section | None:
    """Methods that several results have, each compared with the first of them; None if there are none."""
    rows = []
    for task in tasks:
        for pair in pairs:
            same = pair.first.label.partition(" [")[0] == pair.second.label.partition(" [")[0]
            if pair.task == task.name and same and pair.first.source != pair.second.source:
                old, new = (mean(own).text(_DIGITS[metric]) for own in (pair.first, pair.second))
                rows.append((pair.second.label, task.name, new, pair.first.source, old, _signed((pair, 1), metric)))
    if not rows:
        return None
    columns = ("method", "task", NAMES[metric], "compared with", f"{NAMES[metric]} there", "difference")
    note = "A positive difference: better than in the results compared with. Stars are as everywhere on this page."
    title = "The same sampler in different results"
    return Section(title, tables=[Table(f"{NAMES[metric]} by task", note, columns, rows)])


def _rank_plot(task: Task, order: Sequence[Measured], placed: dict):
    drawn, (axes,) = plots.figure(1, width=6.4, height=0.9 + 0.28 * len(order))
    for i, own in enumerate(order):
        rank = placed[own.label]
        if rank.low == rank.low:
            axes.plot([rank.low, rank.high], [i, i], color=plots.COLOURS[0], linewidth=2, alpha=0.5)
        axes.plot(rank.mean, i, "o", color=plots.COLOURS[0], markersize=5)
    axes.set_yticks(range(len(order)), [own.label for own in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlim(0.8, len(order) + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("mean rank")
    axes.set_title(task.name, fontsize=9)
    return drawn


def _front_plot(task: Task, metric: str):
    drawn, (axes,) = plots.figure(1, width=6.4, height=3.6)
    on = front(task, metric)
    axes.plot([own.calls for own in on], [mean(own).mean for own in on], "-", color="#999999", lw=1, zorder=1)
    for own in task.methods:
        estimate, colour = mean(own), plots.COLOURS[0 if own in on else 1]
        if estimate.low == estimate.low:
            axes.plot([own.calls] * 2, [estimate.low, estimate.high], color=colour, lw=1.5, alpha=0.5)
        axes.plot(own.calls, estimate.mean, "o", color=colour, markersize=4)
    plots.logarithmic(axes, sorted({own.calls for own in task.methods}))
    axes.margins(x=0.3)
    taken = list[tuple[float, float]]()  # by labels, in points
    there = [own for own in task.methods if isfinite(mean(own).mean)]
    for own in sorted(there, key=lambda own: mean(own).mean):
        at = (own.calls, mean(own).mean)
        x, y = axes.transData.transform(at) * 72 / drawn.dpi
        up = next(up for up in range(4, 400, 8) if all(abs(x - a) > 90 or abs(y + up - b) >= 8 for a, b in taken))
        axes.annotate(own.label, at, (4, up), textcoords="offset points", fontsize=7)
        taken.append((x, y + up))
    axes.set_xlabel("network calls of a picture")
    axes.set_ylabel(NAMES[metric])
    axes.set_title(task.name, fontsize=9)
    return drawn


def _record(task: Task, own: Measured, metric: str) -> dict:
    estimate, about = mean(own), {"task": task.name, "method": own.label, "settings": own.method, "results": own.source}
    values = {metric: estimate.mean, f"{metric}_low": estimate.low, f"{metric}_high": estimate.high}
    return about | values | {"pictures": estimate.n, "diverged": own.diverged, "calls": own.calls}


def _pair(own: Difference) -> dict:
    estimate = own.estimate
    about = {
        "task": own.task,
        "first": own.first.label,
        "second": own.second.label,
        "second_is_better_by": estimate.mean,
    }
    return about | {"low": estimate.low, "high": estimate.high, "n": estimate.n, "p": own.p, "holm": own.holm}


def _latex(table: Table) -> str:
    """``table`` for LaTeX with booktabs."""
    lines = [f"% {table.title}: {table.note}", f"\\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", "\\toprule"]
    lines += [" & ".join(map(_tex, table.columns)) + " \\\\", "\\midrule"]
    lines += [" & ".join(map(_tex, row)) + " \\\\" for row in table.rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _tex(cell: str) -> str:
    bold = cell.startswith("**")
    text = cell.strip("*") if bold else cell.replace(" *", "$^*$")
    for old, new in (("_", "\\_"), ("%", "\\%"), ("#", "\\#"), ("&", "\\&")):
        text = text.replace(old, new)
    return f"\\textbf{{{text}}}" if bold else text

"""``posteriori compare``: which methods are better in the results of suites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from posteriori.cli.options import Out, Quiet

EPILOG = """
Examples:

  posteriori compare out/smoke --out out/compare

  posteriori compare s3://bucket/bench --by task --metric lpips

  posteriori compare out/before out/after --by task
"""


def compare(
    results: Annotated[list[str], typer.Argument(help="Folders or URLs that `posteriori bench` wrote.")],
    by: Annotated[
        Literal["task"] | None, typer.Option(help="task: compare each task by itself (default: the mean over all).")
    ] = None,
    metric: Annotated[
        Literal["psnr", "ssim", "lpips", "lpips_vgg", "hole"],
        typer.Option(help="Metric to compare; hole: PSNR in the hole of a mask."),
    ] = "psnr",
    out: Out = Path("out/compare"),
    quiet: Quiet = False,
) -> None:
    """Compare the methods of one or several results of `posteriori bench`: differences, ranks and fronts.

    Every difference is paired by picture and has a 95% bootstrap interval. Significant ones are marked, after Holm's
    correction. Two results are compared sampler by sampler. OUT gets a self-contained index.html, compare.md, the
    figures, methods.csv, differences.csv and compare.tex.
    """
    from posteriori.jobs.lock import claimed_folder
    from posteriori.studies.comparison.page import write
    from posteriori.studies.comparison.results import read

    found = read(results, metric)
    with claimed_folder(out):
        page = write(found, metric, out, by_task=by == "task")
    if not quiet:
        typer.echo((page.parent / "compare.md").read_text("utf-8"))
        typer.echo(f"report: {page}")

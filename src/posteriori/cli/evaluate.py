"""``posteriori priors evaluate``: how good a prior is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posteriori.cli.options import Device, Dtype, Json, Overwrite, Quiet, Seed

if TYPE_CHECKING:
    from posteriori.studies.evaluation.result import Evaluation

EPILOG = """
Examples:

  posteriori priors evaluate faces-64 --images faces-128.zip --holdout 52::53 --out out/faces-64

  posteriori priors evaluate photo --images photos/ --samples 0 --bm3d
"""


def evaluate(
    name: Annotated[str, typer.Argument(help="A prior's name, a folder or a checkpoint.")],
    images: Annotated[
        Path, typer.Option(help="A folder, with its subfolders, or a zip of pictures of the prior's kind.")
    ],
    holdout: Annotated[
        str,
        typer.Option(
            metavar="SLICE",
            help="Slice of the sorted names that training held out, like 52::53; the others are its training set "
            "(default: all were held out).",
        ),
    ] = "",
    skip: Annotated[
        int, typer.Option(min=0, help="How many held-out pictures to skip: those on which the prior was selected.")
    ] = 0,
    samples: Annotated[
        int | None,
        typer.Option(
            min=0, max=1_000_000, help="Samples to draw, 0 for none (default: 500; 0 for a convolutional prior)."
        ),
    ] = None,
    bm3d: Annotated[bool, typer.Option("--bm3d", help="Denoise with BM3D as well; takes seconds per picture.")] = False,
    out: Annotated[Path | None, typer.Option(help="Output folder; a stopped evaluation resumes there.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a prior: denoising, kernel distance of its samples, and memorisation.

    Prints tables. OUT gets evaluation.md, evaluation.json, denoising.json and shifts.json (every picture's PSNR and
    shift), samples.png and samples/, and nearest.png: the samples nearest to a training picture above those pictures.
    Do not publish nearest.png, since it shows training pictures. If NAME is a folder, the range of shifts of held-out
    pictures is stored in it, and `restore` warns if a restoration exceeds it.
    """
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from posteriori.hub.load import load_prior, prior_record
    from posteriori.jobs.lock import claimed_folder
    from posteriori.jobs.progress import NOTE
    from posteriori.progress import bar
    from posteriori.studies.evaluation.result import Request
    from posteriori.studies.evaluation.run import evaluate as run

    prior = load_prior(name, device=device, dtype=dtype)
    count = (0 if prior.any_size else 500) if samples is None else samples
    request = Request(name, images, holdout, skip, count, bm3d, seed)
    with claimed_folder(out) if out else TemporaryDirectory() as folder, bar(NOTE, quiet=quiet) as progress:
        found = run(prior, request, Path(folder), record=prior_record(name), overwrite=overwrite, progress=progress)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    elif not quiet:
        _print(found, out)


def _print(evaluation: Evaluation, out: Path | None) -> None:
    from rich.table import Table

    from posteriori.studies.evaluation.result import tables
    from posteriori.terminal import console

    to = console()
    for content in tables(evaluation):
        first, *rest = content.columns
        table = Table(first, title=content.title, title_justify="left")
        for column in rest:
            table.add_column(column, justify="right")
        for row in content.rows:
            table.add_row(*row)
        to.print(table)
        to.print(f"{content.note}\n")
    for problem in evaluation.damaged:
        to.print(f"left out: {problem}", soft_wrap=True)
    if out:
        to.print(f"{out / 'evaluation.md'} has these tables", soft_wrap=True)

"""``posteriori sample``: pictures from a prior alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posteriori.cli.options import Batch, Device, Dtype, Out, Overwrite, Prior, Quiet, Seed, rows_of

EPILOG = """
Examples:

  posteriori sample -n 16 --out out/samples

  posteriori sample -n 4 --sampler 'ddim(eta=0)' --steps 50 --seed 1 --out out/ddim
"""


def sample(
    n: Annotated[int, typer.Option("-n", min=1, max=1_000_000, help="How many pictures.")] = 16,
    sampler: Annotated[
        str, typer.Option(help="ddim, which is DDPM, or 'ddim(eta=0)': see `posteriori samplers`.")
    ] = "ddim",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler (default: its paper's number, at most 250).")
    ] = None,
    prior: Prior = "faces-64",
    seed: Seed = 0,
    batch: Batch = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Out = Path("out/sample"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draw pictures from a prior, without a measurement.

    Writes sample-001.png ..., grid.png with all of them and manifest.json. The same command resumes.
    """
    from posteriori.hub.load import load_prior, prior_record
    from posteriori.jobs.lock import claimed_folder
    from posteriori.jobs.progress import NOTE, added
    from posteriori.progress import bar
    from posteriori.restore.unconditional import draw
    from posteriori.settings.presets import default_steps
    from posteriori.settings.text import read_sampler

    spec = read_sampler(sampler)
    network = load_prior(prior, device=device, dtype=dtype)
    method = spec.build().with_steps(spec.fields.get(spec.cls.count, steps or default_steps(spec.cls)))
    with claimed_folder(out), bar(NOTE, quiet=quiet) as progress:
        draw(
            network,
            method,
            n,
            out,
            record=prior_record(prior),
            seed=seed,
            batch=rows_of(batch),
            overwrite=overwrite,
            watched=lambda rows: added(progress, "sampling", rows),
            say=lambda text: None if quiet else progress.console.print(f"posteriori: {text}", soft_wrap=True),
        )
    if not quiet:
        typer.echo(f"{n} pictures of {network.name}: {out / 'grid.png'}")

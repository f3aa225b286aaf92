"""``posteriori demo``: the report's experiment on one image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posteriori.cli.options import Device, Dtype, Prior, Quiet, Seed

if TYPE_CHECKING:
    from posteriori.studies.demo import Demo

EPILOG = """
Examples:

  posteriori demo --out out/demo

  posteriori demo --out out/me --image portrait.jpg --full

  posteriori demo --samplers all --out out/all
"""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = Path("out/demo"),
    prior: Prior = "faces-64",
    image: Annotated[
        str,
        typer.Option(
            help="A picture, or astronaut, chelsea, coffee; its centre square is reduced to the prior's size."
        ),
    ] = "astronaut",
    samplers: Annotated[
        str, typer.Option(help="Samplers to compare: names of `posteriori samplers`, separated by commas, or all.")
    ] = "sdedit,scoreald,dps",
    full: Annotated[
        bool, typer.Option("--full", help="Take the papers' numbers of steps (default: at most 250).")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quiet: Quiet = False,
) -> None:
    """Compare SDEdit, ScoreALD and DPS, or other samplers, on inpainting and deconvolution of one picture.

    Both measurements have noise of sigma 0.05 on the [-1, 1] scale.

    Writes results.csv, results.json, settings.json and a figure per task. The same command resumes.
    """
    from posteriori.cli.experiment import campaign
    from posteriori.images.files import load_image
    from posteriori.jobs.executors import Serial
    from posteriori.samplers import DDIM
    from posteriori.settings.presets import DEFAULT_STEPS
    from posteriori.settings.text import read_samplers
    from posteriori.studies.demo import run_demo
    from posteriori.studies.demo_files import write_demo
    from posteriori.studies.engine.execute import Loader
    from posteriori.studies.engine.plan import Pictures

    # DDIM draws from the prior alone, which the demo does anyway
    chosen = [cls for cls in read_samplers(samplers) if cls is not DDIM]
    if not chosen:
        raise typer.BadParameter("ddim draws from the prior alone, which the demo does anyway: name others, like dps")
    with campaign(out, Loader(prior, None, device, dtype), 1, Serial(), quiet) as run:
        truth = Pictures((image,), load_image(image, size=run.prior.shape[-1]))
        steps = run.prior.schedule.levels if full else DEFAULT_STEPS
        done = run_demo(run, truth, methods=chosen, steps=steps, seed=seed)
        written = write_demo(done, out, prior=prior, image=image, seed=seed)
    if quiet:
        return
    _print_table(done, prior, image)
    typer.echo(f"\nfigures: {', '.join(str(path) for path in written if path.suffix == '.png')}")
    typer.echo(f"table:   {out / 'results.csv'}, {out / 'results.json'}")


def _print_table(demo: Demo, prior: str, image: str) -> None:
    from rich.table import Table

    from posteriori.terminal import console

    side = demo.truth.shape[-1]
    respaced = "all 1000 steps" if demo.steps == 1000 else f"at most {demo.steps} of 1000 steps"
    table = Table(
        title=f"{image}, {side} x {side}, prior {prior}, {respaced}, noise sigma 0.05 on [-1, 1]", title_justify="left"
    )
    for name in ("method", "task"):
        table.add_column(name, no_wrap=True)
    for name in ("PSNR (dB)", "SSIM", f"LPIPS at {side} px", "network calls", "seconds"):
        table.add_column(name, justify="right")
    labels = {result.task.name: result.task.label for result in demo.tasks}
    previous = None
    for row in demo.rows:
        if previous and row.task != previous:
            table.add_section()
        previous = row.task
        cells = [(row.psnr, ".2f"), (row.ssim, ".3f"), (row.lpips, ".4f"), (row.nfe, "d"), (row.seconds, ".1f")]
        texts = ["" if value is None else format(value, form) for value, form in cells]
        table.add_row(row.method, labels.get(row.task, row.task), *texts)
    console(width=120).print(table)

"""``posteriori sweep``: a sampler's fields varied over a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from posteriori.errors import PosterioriError

if TYPE_CHECKING:
    from posteriori.studies.sweep import Axis, Measured

EPILOG = """
Examples:

  posteriori sweep dps --vary scale=0.25:4:log5

  posteriori sweep scoreald --vary lambda_T=1:8:log4 --vary lambda_0=1:8:log4 --operator box-mask

  posteriori sweep dps --vary steps=20,50,100,250 --images faces/ --pictures 16 --out out/steps
"""


def sweep(
    sampler: Annotated[str, typer.Argument(help="A sampler with its fixed fields: dps or 'dps(gradient=norm)'.")],
    vary: Annotated[
        list[str],
        typer.Option(
            metavar="FIELD=VALUES",
            help="A field and its values: LOW:HIGH:logN, LOW:HIGH:linN (N values) or A,B,C; or steps. Once or twice.",
        ),
    ],
    operator: Annotated[str, typer.Option(help="The degradation: see `posteriori operators`.")] = "gaussian-blur",
    noise: Annotated[str, typer.Option(help="The noise: 0.05 on [-1, 1], 10/255, or 'poisson(peak=30)'.")] = "0.05",
    prior: Prior = "faces-64",
    size: Annotated[
        int | None, typer.Option(min=1, max=65_536, help="Side of the pictures in pixels, if the prior takes any size.")
    ] = None,
    images: Images = None,
    holdout: Holdout = "",
    pictures: Count = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler, unless varied.")] = 100,
    seeds: Seeds = 1,
    seed: Seed = 0,
    batch: Batch = "auto",
    checkpointing: Checkpointing = "auto",
    jobs: Jobs = None,
    executor: ExecutorName = None,
    address: Address = None,
    gpus: Gpus = None,
    timeout: Timeout = None,
    threads: Threads = None,
    out: Out = Path("out/sweep"),
    device: Device = "auto",
    dtype: Dtype = "auto",
    quiet: Quiet = False,
) -> None:
    """Vary one or two fields of a sampler, and measure PSNR and LPIPS: the best setting, and how flat its optimum is.

    Without --images it uses astronaut, chelsea and coffee. OUT gets sweep.csv, sweep.png and sweep.pdf: curves of one
    field, heat maps of two. The same command resumes.
    """
    from posteriori.jobs.executors import executor_of
    from posteriori.likelihoods import GaussianNoise
    from posteriori.settings.noise import read_noise
    from posteriori.settings.text import format_spec, read_operator
    from posteriori.studies import plots
    from posteriori.studies.engine.execute import Loader
    from posteriori.studies.engine.plan import Item
    from posteriori.studies.pictures import bundled, by_hash, held_out
    from posteriori.studies.sweep import grid, measured, read_axis, rows
    from posteriori.studies.table import write_csv
    from posteriori.studies.wording import counted

    check_holdout(images, holdout)
    axes = [read_axis(text) for text in vary]
    if len(axes) > 2 or len({axis.name for axis in axes}) < len(axes):
        raise PosterioriError(
            f"--vary names {', '.join(axis.name for axis in axes)}: give one field or two different ones"
        )
    loader = Loader(prior, size, device, dtype, threads, checkpointing)
    workers = executor_of(executor, jobs, timeout, address=address, gpus=gpus, threads=threads)
    with campaign(out, loader, rows_of(batch), workers, quiet) as run:
        side = run.prior.shape[-1]
        chosen = held_out(images, holdout, side, pictures) if images else bundled(side)[:pictures]
        built = read_operator(operator).build(run.prior.shape)
        model = read_noise(noise)
        sigma = model.sigma if isinstance(model, GaussianNoise) else format_spec(model)
        template = run.template(chosen, format_spec(built), sigma, range(seed, seed + seeds))
        points = grid(axes, sampler, built, run.prior, template, steps=steps)
        run.do([Item("sweep", point.run) for point in points], by_hash(chosen))
        found = measured(points, run.runs)
        write_csv(rows(axes, found), out / "sweep.csv")
        ran = f"{counted(len(chosen), 'picture')}, {counted(seeds, 'seed')} each"
        title = f"{sampler}, {format_spec(built)}, noise {noise}, {run.name}\n{ran}"
        first, *second = axes
        drawn = plots.heat_maps((first, second[0]), found, title) if second else plots.curves(first, found, title)
        plots.save(drawn, out / "sweep")
    if not quiet:
        _print(axes, found, title)
        typer.echo(f"table: {out / 'sweep.csv'}   figure: {out / 'sweep.png'}, {out / 'sweep.pdf'}")


def _print(axes: list[Axis], found: list[Measured], title: str) -> None:
    from rich.table import Table

    from posteriori.studies.sweep import FLAT, best, flat
    from posteriori.terminal import console

    top = best(found)
    table = Table(title=title, title_justify="left")
    for name in (*(axis.name for axis in axes), "PSNR (dB)", "LPIPS", "residual", "network calls"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in found:
        cells = [value if isinstance(value, str) else f"{value:.4g}" for value in point.at]
        cells += [point.psnr.text(2), point.lpips.text(4), f"{point.residual:.2f}", str(point.calls)]
        table.add_row(*cells, style="bold" if point is top else "")
    console(width=110).print(table)
    named = ", ".join(f"{axis.name} = {value}" for axis, value in zip(axes, top.at, strict=True))
    near = [", ".join(map(str, point.at)) for point in flat(found)]
    ends = [axis.name for axis, at in zip(axes, top.at, strict=True) if axis.numeric and at in _ends(axis)]
    typer.echo(f"best PSNR: {named}; within {FLAT} dB of it: {'; '.join(near)}")
    if ends:
        typer.echo(f"the best is at an end of the values of {', '.join(ends)}: a better one may lie beyond")


def _ends(axis: Axis) -> tuple[float | str, float | str]:
    return min(axis.values), max(axis.values)

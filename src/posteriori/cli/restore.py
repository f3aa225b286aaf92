"""``posteriori restore`` and ``posteriori denoise``: measurements in, pictures out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posteriori.cli.options import (
    DEFAULT_STEPS,
    Batch,
    Device,
    Dtype,
    Files,
    Fit,
    Json,
    Out,
    Overwrite,
    Prior,
    Quiet,
    Seed,
    Simulate,
    Steps,
)

if TYPE_CHECKING:
    from rich.console import Console

    from posteriori.priors.unet import UNetPrior
    from posteriori.runs.inputs import Source
    from posteriori.runs.restore import Restoration

RESTORE_EPILOG = """
Examples:

  posteriori restore astronaut --simulate --operator 'gaussian-blur(sigma=1.5)' --fit resize --samples 8

  posteriori restore scratched.png --mask scratches.png --noise 5/255 --out out/scratched

  posteriori restore blurred.npy --operator 'gaussian-blur(sigma=1.5)' --sampler 'dps(scale=1.0)' --seed 1
"""
DENOISE_EPILOG = """
Examples:

  posteriori denoise noisy.png --sigma 25/255 --fit crop --out out/clean

  posteriori denoise astronaut --simulate --t 100 --fit resize --out out/denoise
"""


def restore(
    files: Files,
    operator: Annotated[
        str | None,
        typer.Option(help="What degraded them, e.g. 'gaussian-blur(sigma=1.5)': see `posteriori operators`."),
    ] = None,
    sampler: Annotated[
        str, typer.Option(help="The method, e.g. dps or 'dps(scale=0.3)': see `posteriori samplers`.")
    ] = "dps",
    noise: Annotated[
        str,
        typer.Option(help="The measurements' noise: sigma on [-1, 1], or of the picture's range, e.g. 25/255."),
    ] = "0.05",
    simulate: Simulate = False,
    samples: Annotated[int, typer.Option(min=1, help="Posterior samples of each; 2 or more give mean and std.")] = 1,
    steps: Steps = None,
    mask: Annotated[
        str | None, typer.Option(help="Picture of what to restore: white is restored, black is kept.")
    ] = None,
    mask_invert: Annotated[bool, typer.Option("--mask-invert", help="Black is restored, white is kept.")] = False,
    fit: Fit = None,
    prior: Prior = "faces-64",
    seed: Seed = 0,
    batch: Batch = None,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    out: Out = Path("out/restore"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Restore pictures from measurements y = A(x) + n.

    Every file gets a folder in OUT: the samples, their mean and standard deviation, the measurement (exact
    as .npy, which can be restored again), a comparison to look at, and manifest.json. The same command goes
    on where it was stopped.
    """
    from posteriori.noise import parse_noise
    from posteriori.operators import Mask
    from posteriori.presets import resolve
    from posteriori.runs.inputs import MaskFile, find_sources
    from posteriori.runs.methods import Posterior
    from posteriori.runs.restore import Restoration, batch_for
    from posteriori.spec import parse_operator, read_sampler

    if (mask is None) == (operator in (None, "mask")):
        raise typer.BadParameter("say what degraded the pictures: give --operator SPEC or --mask FILE, not both")
    if mask_invert and mask is None:
        raise typer.BadParameter("--mask-invert swaps the colours of a mask: give --mask FILE too")
    spec, sigma, sources = read_sampler(sampler), parse_noise(noise), find_sources(files)
    count = spec.cls.count
    if steps is not None and spec.fields.get(count, steps) != steps:
        raise typer.BadParameter(f"--steps is {steps} and {count} {spec.fields[count]}: give one of them")
    mask_file = MaskFile.read(mask, invert=mask_invert) if mask else None
    network, record = _load_prior(prior, device, dtype)
    degradation = None if mask_file else parse_operator(operator or "", network.shape)
    settings = {"steps": steps or DEFAULT_STEPS} | spec.fields
    resolved = resolve(spec.cls, degradation or Mask(network.shape), network, **settings)
    restoration = Restoration(
        prior=network,
        prior_record=record,
        method=Posterior(network, resolved, sigma, samples, seed),
        operator=degradation,
        mask=mask_file,
        sigma=sigma,
        seed=seed,
        simulate=simulate,
        fit=fit,
        batch=batch or batch_for(network),
    )
    _run(restoration, sources, out, _Manner(overwrite, quiet, as_json))


def denoise(
    files: Files,
    t: Annotated[float | None, typer.Option(help="Noise level as a time of the prior's schedule, e.g. 100.")] = None,
    sigma: Annotated[
        str | None, typer.Option(help="Noise level: sigma on [-1, 1], or of the picture's range, e.g. 25/255.")
    ] = None,
    simulate: Simulate = False,
    fit: Fit = None,
    prior: Prior = "faces-64",
    seed: Seed = 0,
    batch: Batch = None,
    device: Device = "cpu",
    dtype: Dtype = "auto",
    out: Out = Path("out/denoise"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Remove white noise of a known level by one pass of the network: the report's baseline.

    The pixels are x_0 + sigma n in the picture's own brightness; at time t, sigma is sigma_t / alpha_t.
    """
    from posteriori.noise import parse_noise
    from posteriori.operators import Identity
    from posteriori.runs.inputs import find_sources
    from posteriori.runs.methods import OnePass
    from posteriori.runs.restore import Restoration, batch_for
    from posteriori.schedule import Level

    if (t is None) == (sigma is None):
        raise typer.BadParameter("say how much noise there is: give --t TIME or --sigma S, not both")
    sources = find_sources(files)
    parsed = None if sigma is None else parse_noise(sigma)
    if parsed == 0:
        raise typer.BadParameter("--sigma is 0: there is nothing to remove; give a level above 0")
    network, record = _load_prior(prior, device, dtype)
    if parsed is None:
        assert t is not None
        if not 0 < t <= network.schedule.T:
            raise typer.BadParameter(f"--t is {t:g}: give a time above 0, up to {network.schedule.T}")
        trained = network.schedule.level(t)
        parsed = trained.sigma / trained.alpha
    restoration = Restoration(
        prior=network,
        prior_record=record,
        method=OnePass(network, Level(network.schedule.time(parsed), 1.0, parsed)),
        operator=Identity(network.shape),
        mask=None,
        sigma=parsed,
        seed=seed,
        simulate=simulate,
        fit=fit,
        batch=batch or batch_for(network),
    )
    _run(restoration, sources, out, _Manner(overwrite, quiet, as_json))


@dataclass(frozen=True)
class _Manner:
    """How a run behaves towards its folder and its user."""

    overwrite: bool
    quiet: bool
    as_json: bool


def _load_prior(name: str, device: str, dtype: str) -> tuple[UNetPrior, dict[str, Any]]:
    from posteriori.priors.load import load_prior, prior_record

    return load_prior(name, device=device, dtype=dtype), prior_record(name)


def _run(restoration: Restoration, sources: Sequence[Source], out: Path, manner: _Manner) -> None:
    """Restores, shows what was done, and exits with 1 where an input failed."""
    from rich.console import Console

    from posteriori.files import claimed_folder
    from posteriori.progress import bar
    from posteriori.runs.restore import summary, write_summary

    if not manner.quiet:
        _print_settings(restoration, Console(stderr=manner.as_json, highlight=False))
    outcomes = []
    steps = restoration.method.steps
    with claimed_folder(out), bar("{task.fields[residual]}", quiet=manner.quiet) as progress:
        task = progress.add_task("reading", total=len(sources) * steps, residual="")

        def tick(names: Sequence[str], residual: float | None) -> None:
            label = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            shown = "" if residual is None else f"|y - A x0| {residual:.2f}"
            progress.update(task, advance=len(names), description=label, residual=shown)

        for outcome in restoration.run(sources, out, overwrite=manner.overwrite, tick=tick):
            outcomes.append(outcome)
            if outcome.error:
                progress.console.print(f"posteriori: {outcome.error}", markup=False, highlight=False, soft_wrap=True)
            if outcome.error or outcome.there:  # no work, hence no part of the time left
                progress.update(task, total=(progress.tasks[task].total or 0) - steps)
        write_summary(out)
    rows = [summary(outcome, out) for outcome in sorted(outcomes, key=lambda o: sources.index(o.source))]
    if manner.as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif not manner.quiet:
        _print_table(rows, out)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _print_settings(restoration: Restoration, console: Console) -> None:
    """What was not typed as it is used: the noise on both scales, and where the sampler's settings come from."""
    from rich.text import Text

    from posteriori.noise import format_noise

    prior = restoration.prior
    height, width = prior.shape[-2:]
    lines = [
        ("prior", f"{prior.name}, {width} x {height} pixels, {restoration.settings()['dtype']} on {prior.device}"),
        ("noise", f"sigma {format_noise(restoration.sigma)}"),
        *restoration.method.describe(),
    ]
    for name, text in lines:
        console.print(Text.assemble((f"{name:<8}", "bold"), (text, "dim")), soft_wrap=True)


def _print_table(rows: list[dict[str, Any]], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    forms = {"psnr": ("PSNR (dB)", ".2f"), "ssim": ("SSIM", ".3f"), "lpips": ("LPIPS", ".4f")}
    forms |= {"residual": ("residual", ".2f"), "seconds": ("seconds", ".1f")}
    shown = {name: form for name, form in forms.items() if any(row[name] is not None for row in rows)}
    table = Table()
    table.add_column("restored", overflow="fold")
    for title, _ in shown.values():
        table.add_column(title, justify="right")
    for row in rows:
        cells = ["" if row[name] is None else format(row[name], form) for name, (_, form) in shown.items()]
        table.add_row(row["name"] + ("" if row["folder"] else " [red](failed)[/red]"), *cells)
    console = Console(highlight=False)
    console.print(table)
    done = sum(row["error"] is None for row in rows)
    console.print(f"{done} of {len(rows)} in {out}: a folder each, comparison.png to look at", soft_wrap=True)

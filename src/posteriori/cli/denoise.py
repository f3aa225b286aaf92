"""``posteriori denoise``: one pass of the network, or two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posteriori.cli.options import (
    Batch,
    Device,
    Dtype,
    Files,
    Fit,
    Format,
    Json,
    MaxMemory,
    Out,
    Overwrite,
    PriorByTask,
    Quiet,
    Range,
    Region,
    Seed,
    Simulate,
    rows_of,
)
from posteriori.cli.running import Manner, run

if TYPE_CHECKING:
    from posteriori.restore.inputs import Source

EPILOG = """
Examples:

  posteriori denoise holiday.jpg

  posteriori denoise noisy.png --noise 25/255 --out out/clean

  posteriori denoise astronaut --simulate --t 100 --fit resize --out out/denoise
"""


def denoise(
    files: Files,
    t: Annotated[float | None, typer.Option(help="Noise level as a time of the prior's schedule, e.g. 100.")] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            "--noise",
            "--sigma",
            help="Noise level: sigma on [-1, 1], or a share of the range, e.g. 25/255; auto: estimated from the "
            "picture (default: auto, or --t).",
        ),
    ] = None,
    simulate: Simulate = False,
    fit: Fit = None,
    range_: Range = None,
    format_: Format = None,
    region: Region = None,
    max_memory: MaxMemory = None,
    prior: PriorByTask = None,
    seed: Seed = 0,
    batch: Batch = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Out = Path("out/denoise"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Remove noise, by one network call or, for a camera's noise, by two.

    Without --noise and --t, level and kind of the noise are estimated from each picture. With white noise the picture
    is x_0 + sigma n; --t gives sigma as sigma_t / alpha_t of the prior's schedule. A camera's noise is stronger at half
    the resolution, and is removed there first (by priors of any size, like photo).
    """
    from posteriori.diagnosis.noise import find_noise
    from posteriori.hub.load import load_prior, prior_record
    from posteriori.images.fit import read_region
    from posteriori.likelihoods import GaussianNoise
    from posteriori.operators import Identity
    from posteriori.restore.inputs import find_sources, passed_over
    from posteriori.restore.inputs import load as read
    from posteriori.restore.methods import OnePass
    from posteriori.restore.plans import bound_memory, each_its_own, usual_prior
    from posteriori.restore.restoration import Restoration
    from posteriori.restore.scales import TwoScales
    from posteriori.settings.noise import AUTO, parse_noise
    from posteriori.settings.text import Chain, Spec

    if t is not None and noise is not None:
        raise typer.BadParameter("say how much noise there is by --t TIME or by --noise SIGMA, not both")
    if simulate and t is None and noise in (None, AUTO):
        raise typer.BadParameter("--simulate adds noise: say how much, by --t TIME or --noise SIGMA")
    sources, part = find_sources(files), read_region(region) if region else None
    level = None if noise in (None, AUTO) else parse_noise(noise or "")
    if level == 0:
        raise typer.BadParameter("--noise is 0: there is nothing to remove; give a level above 0")
    found_out = t is None and level is None
    name = prior or usual_prior(sources[0], not found_out, simulate=simulate, fit=fit, scale=range_, region=part)
    network, record = load_prior(name, device=device, dtype=dtype), prior_record(name)
    bound_memory(network, max_memory, gradient=False)
    if t is not None:
        if not 0 < t <= network.schedule.end:
            raise typer.BadParameter(f"--t is {t:g}: give a time above 0, up to {network.schedule.end:g}")
        level = network.schedule.level(t).with_signal().sigma_bar

    def restoration(sigma: float, method: OnePass | TwoScales) -> Restoration:
        return Restoration(
            prior=network,
            prior_record=record,
            method=method,
            operator=Chain((Spec(Identity, {}),)),
            masks=None,
            noise=GaussianNoise(sigma),
            seed=seed,
            simulate=simulate,
            fit=fit,
            batch=rows_of(batch),
            range=range_,
            format=format_,
            region=part,
        )

    def by_picture(source: Source) -> Restoration:
        found = find_noise(read(source, None, None, arrays=True, scale=range_, region=part).x, source.path)
        if found.doubt and not quiet:
            typer.echo(f"{source.path}: {found.doubt}", err=True)
        return restoration(found.sigma, TwoScales() if found.correlated and network.any_size else OnePass())

    if found_out:
        plans, failed = each_its_own(sources, by_picture)
    else:
        plans, failed = [(restoration(level or 0.0, OnePass()), sources)], []
    run(plans, out, Manner(overwrite, quiet, as_json), unread=passed_over(files), failed=failed)

"""``posteriori denoise``: one pass of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posteriori.cli.options import (
    Batch,
    Device,
    Dtype,
    Files,
    Fit,
    Format,
    Json,
    Out,
    Overwrite,
    Prior,
    Quiet,
    Range,
    Seed,
    Simulate,
    rows_of,
)
from posteriori.cli.running import Manner, load, run

EPILOG = """
Examples:

  posteriori denoise noisy.png --sigma 25/255 --fit crop --out out/clean

  posteriori denoise astronaut --simulate --t 100 --fit resize --out out/denoise
"""


def denoise(
    files: Files,
    t: Annotated[float | None, typer.Option(help="Noise level as a time of the prior's schedule, e.g. 100.")] = None,
    sigma: Annotated[
        str | None, typer.Option(help="Noise level: sigma on [-1, 1], or of the picture's range, e.g. 25/255.")
    ] = None,
    simulate: Simulate = False,
    fit: Fit = None,
    range_: Range = None,
    format_: Format = None,
    prior: Prior = "faces-64",
    seed: Seed = 0,
    batch: Batch = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Out = Path("out/denoise"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Remove white noise of a known level by one pass of the network: the report's baseline.

    The pixels are x_0 + sigma n in the picture's own brightness; at time t, sigma is sigma_t / alpha_t.
    """
    from posteriori.likelihoods import GaussianNoise
    from posteriori.operators import Identity
    from posteriori.restore.inputs import find_sources, passed_over
    from posteriori.restore.methods import OnePass
    from posteriori.restore.restoration import Restoration
    from posteriori.settings.noise import parse_noise
    from posteriori.settings.text import Chain, Spec

    if (t is None) == (sigma is None):
        raise typer.BadParameter("say how much noise there is: give --t TIME or --sigma S, not both")
    sources = find_sources(files)
    parsed = None if sigma is None else parse_noise(sigma)
    if parsed == 0:
        raise typer.BadParameter("--sigma is 0: there is nothing to remove; give a level above 0")
    network, record = load(prior, device, dtype)
    if parsed is None:
        assert t is not None
        if not 0 < t <= network.schedule.end:
            raise typer.BadParameter(f"--t is {t:g}: give a time above 0, up to {network.schedule.end:g}")
        trained = network.schedule.level(t)
        parsed = trained.with_signal().sigma_bar
    restoration = Restoration(
        prior=network,
        prior_record=record,
        method=OnePass(),
        operator=Chain((Spec(Identity, {}),)),
        masks=None,
        noise=GaussianNoise(parsed),
        seed=seed,
        simulate=simulate,
        fit=fit,
        batch=rows_of(batch),
        range=range_,
        format=format_,
    )
    run(restoration, sources, out, Manner(overwrite, quiet, as_json), passed_over(files))

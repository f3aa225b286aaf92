"""``posteriori restore``: posterior samples of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posteriori.cli.looking import look, looked_at
from posteriori.cli.options import (
    Batch,
    Checkpointing,
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
    Steps,
    rows_of,
)
from posteriori.cli.running import Manner, bound_memory, each_its_own, load, run
from posteriori.errors import PosterioriError

if TYPE_CHECKING:
    from posteriori.images.fit import Region as Part
    from posteriori.restore.inputs import Source
    from posteriori.settings.text import Chain

#: the prior of pictures of its size; others are restored with photo, which takes any
FACES, FACES_SHAPE = "faces-64", (3, 64, 64)

EPILOG = """
Examples:

  posteriori restore holiday.jpg --dry-run

  posteriori restore photo.jpg --operator 'gaussian-blur(sigma=2.0)' --noise auto

  posteriori restore astronaut --simulate --operator 'gaussian-blur(sigma=1.5)' --fit resize --samples 8

  posteriori restore photo.jpg --operator 'gaussian-blur(sigma=2.0)' --noise 5/255

  posteriori restore blurred.png --operator 'gaussian-blur(sigma=1.5)' --sampler auto:looks --fit crop

  posteriori restore chelsea --simulate --operator box-mask --fit resize --samples 8 --interval 0.9

  posteriori restore scratched.png --mask scratches.png --noise 5/255 --out out/scratched

  posteriori restore blurred.npy --operator 'gaussian-blur(sigma=1.5)' --sampler 'dps(scale=1.0)' --seed 1
"""


def restore(
    files: Files,
    operator: Annotated[
        str | None,
        typer.Option(
            help="What degraded them, e.g. 'gaussian-blur(sigma=1.5)': see `posteriori operators`; "
            "or a class in a file of yours, e.g. 'my.py:Blur(width=3)'. Without it and --mask, pictures are looked at."
        ),
    ] = None,
    sampler: Annotated[
        str,
        typer.Option(
            help="The method: dps or 'dps(scale=0.3)', see `posteriori samplers`; my.py:Mine, a class of yours; or "
            "auto, auto:looks, auto:uncertainty: the one that measured best for this prior, operator and noise."
        ),
    ] = "auto",
    noise: Annotated[
        str | None,
        typer.Option(
            help="The measurements' noise: sigma on [-1, 1], or of the picture's range, e.g. 25/255 (default: 0.05; "
            "0 with --mask, jpeg and bit-depth, which keeps observed pixels as they are); auto: estimated from each "
            "picture; or a model: 'poisson(peak=30)', "
            "'poisson-gaussian(peak=30, sigma=0.02)', 'speckle(looks=10)', 'salt-and-pepper(share=0.1)', "
            "'quantisation(bits=4)'."
        ),
    ] = None,
    simulate: Simulate = False,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Posterior samples per picture (default: 1). 2 or more give mean and std; with phase-retrieval "
            "(default: 4) the result is the best by residual.",
        ),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="LEVEL", help="Map the interval that holds each pixel's true value with this probability, e.g. 0.9."
        ),
    ] = None,
    widen: Annotated[
        float,
        typer.Option(metavar="FACTOR", help="Factor on the intervals' width: docs/uncertainty.md has measured ones."),
    ] = 1.0,
    steps: Steps = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Time for all pictures, like 60s or 10m: takes as many steps as fit, and a faster sampler if auto's "
            "is too slow.",
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            help="Picture of what to restore: white is restored, and grey with it; black is kept. Or a folder of masks "
            "named like the pictures."
        ),
    ] = None,
    mask_invert: Annotated[bool, typer.Option("--mask-invert", help="Black is restored, white is kept.")] = False,
    fit: Fit = None,
    range_: Range = None,
    format_: Format = None,
    region: Region = None,
    max_memory: MaxMemory = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is found in the pictures, and stop.")] = False,
    prior: PriorByTask = None,
    seed: Seed = 0,
    batch: Batch = "auto",
    checkpointing: Checkpointing = "auto",
    device: Device = "auto",
    dtype: Dtype = "auto",
    out: Out = Path("out/restore"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Restore pictures from measurements y = A(x) + n.

    Without --operator and --mask, each picture is examined for noise, JPEG compression, blur and scratches. Five lines
    say what was found and what is done about it.

    Every file gets a folder in OUT: the samples, their mean and standard deviation, the measurement (also as .npy,
    which can be restored again), a comparison to look at, and manifest.json. The same command resumes with the pictures
    that were not finished.
    """
    from posteriori.diagnosis.noise import find_noise
    from posteriori.images.fit import read_region
    from posteriori.jobs.lock import claimed_folder
    from posteriori.likelihoods import GaussianNoise, Noise
    from posteriori.operators import Mask
    from posteriori.operators.rounding import Rounding
    from posteriori.restore.budget import read_duration, within
    from posteriori.restore.inputs import Masks, find_sources, passed_over
    from posteriori.restore.inputs import load as read
    from posteriori.restore.intervals import IntervalRequest
    from posteriori.restore.methods import OnePass, Posterior
    from posteriori.restore.restoration import Restoration
    from posteriori.restore.scales import TwoScales
    from posteriori.settings.choosing import DENOISER, choose, is_auto, kind
    from posteriori.settings.noise import AUTO, read_noise
    from posteriori.settings.presets import default_steps
    from posteriori.settings.text import read_operator, read_sampler

    unknown = mask is None and operator is None
    if not unknown and (mask is None) == (operator in (None, "mask")):
        raise typer.BadParameter("say what degraded the pictures: give --operator SPEC or --mask FILE, not both")
    if simulate and (unknown or noise == AUTO):
        missing = "--operator SPEC or --mask FILE" if unknown else "--noise SIGMA"
        raise typer.BadParameter(f"--simulate degrades pictures: say how, by {missing}")
    if dry_run and not unknown:
        raise typer.BadParameter("--dry-run says what is found in pictures: leave out --operator and --mask")
    if mask_invert and mask is None:
        raise typer.BadParameter("--mask-invert swaps the colours of a mask: give --mask FILE too")
    if interval is None and widen != 1:
        raise typer.BadParameter("--widen is for intervals: give --interval too, like 0.9")
    if time and steps:
        raise typer.BadParameter("--time chooses the steps: give it or --steps, not both")
    duration, part = read_duration(time) if time else None, read_region(region) if region else None
    degraded = None if mask or unknown else read_operator(operator or "")
    rounds = degraded is not None and len(degraded.parts) == 1 and issubclass(degraded.parts[0].cls, Rounding)
    noise = noise or (AUTO if unknown else "0" if rounds or (mask and not simulate) else "0.05")
    said, sources = None if noise == AUTO else read_noise(noise), find_sources(files)
    if dry_run:
        look(sources, out, range_)
    masks = Masks.read(mask, sources, invert=mask_invert) if mask else None
    spec = None if is_auto(sampler) else read_sampler(sampler)
    ambiguous = degraded is not None and any(part.cls.ambiguous for part in degraded.parts)
    samples = samples or (4 if ambiguous and not (spec and spec.cls.point) else 1)
    if interval is not None and samples < 2:
        raise typer.BadParameter(f"--interval needs 2 samples or more, --samples is {samples}: 8 is a good number")
    if prior is None:
        prior = "photo" if unknown or not (fit or _of_faces(sources[0], degraded, simulate, range_, part)) else FACES
    network, record = load(prior, device, dtype)
    bound_memory(network, max_memory, gradient=True)

    def planned(degraded: Chain | None, model: Noise, two_scales: bool = False) -> Restoration:
        chosen, choice = spec, None
        if chosen is None:
            named = degraded.name if degraded else Mask.name
            own = kind(degraded.parts if degraded else (), model, seen=masks.seen if masks else None)
            choice = choose(sampler, network.name, named, model.level, samples=samples, steps=steps, kind=own)
            chosen = None if choice.sampler == DENOISER else read_sampler(choice.sampler)
        if chosen is None:
            method: OnePass | TwoScales | Posterior = TwoScales() if two_scales else OnePass(choice)
        else:
            count = chosen.cls.count
            if steps is not None and chosen.fields.get(count, steps) != steps:
                raise typer.BadParameter(f"--steps is {steps} and {count} {chosen.fields[count]}: give one of them")
            if chosen.cls.point and samples > 1:
                raise typer.BadParameter(f"{chosen.cls.name} gives one estimate: leave --samples out, or take another")
            asked = steps or (choice.steps if choice else default_steps(chosen.cls))
            method = Posterior(chosen, asked, samples, choice)
        return Restoration(
            prior=network,
            prior_record=record,
            method=method,
            operator=degraded,
            masks=masks,
            noise=model,
            seed=seed,
            simulate=simulate,
            fit=fit,
            batch=rows_of(batch),
            interval=IntervalRequest(interval, widen) if interval is not None else None,
            range=range_,
            format=format_,
            region=part,
        )

    def by_picture(source: Source) -> Restoration:
        if unknown:
            found = looked_at(source, out, range_, quiet=quiet)
            two = found.two_scales and network.any_size and said is None
            return planned(read_operator(found.operator), said or GaussianNoise(found.sigma), two)
        x = read(source, None, None, arrays=True, scale=range_, region=part).x
        return planned(degraded, GaussianNoise(find_noise(x, source.path).sigma))

    if said is None or unknown:
        plans, failed = each_its_own(sources, by_picture)
    else:
        plans, failed = [(planned(degraded, said), sources)], []
    if duration:
        each = duration / len(sources)
        with claimed_folder(out):
            plans = [(within(one, own, each * len(own), out, free=is_auto(sampler)), own) for one, own in plans]
    manner = Manner(overwrite, quiet, as_json, checkpointing)
    run(plans, out, manner, unread=passed_over(files), failed=failed)


def _of_faces(first: Source, degraded: Chain | None, simulate: bool, scale: str | None, region: Part | None) -> bool:
    """Whether ``first`` has the size that FACES takes without --fit, or cannot be read, which is reported later."""
    from posteriori.restore.inputs import load as read

    measures = FACES_SHAPE if simulate or degraded is None else degraded.build(FACES_SHAPE).measured_shape
    try:
        x = read(first, None, None, arrays=not simulate, scale=scale, region=region).x
    except (OSError, PosterioriError):
        return True
    return tuple(x.shape[-2:]) == measures[-2:]

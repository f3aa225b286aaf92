"""``posteriori restore``: posterior samples of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posteriori.cli.experiment import Address, ExecutorName, Gpus, Jobs, Timeout
from posteriori.cli.looking import blur_of, look, looked_at
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
    rows_of,
)
from posteriori.cli.running import Manner, run
from posteriori.errors import UsageError

EPILOG = """
Examples:

  posteriori restore holiday.jpg --dry-run

  posteriori restore photo.jpg --operator 'gaussian-blur(sigma=2.0)'

  posteriori restore shaken.jpg --operator 'blur(kernel=auto)'

  posteriori restore soft.jpg --operator 'gaussian-blur(sigma=auto)'

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
            help="What degraded the pictures, e.g. 'gaussian-blur(sigma=1.5)': see `posteriori operators`. "
            "'gaussian-blur(sigma=auto)' and 'blur(kernel=auto)' estimate the blur from each picture; "
            "'blur(kernel=auto:51)' allows kernels of up to 51 pixels. "
            "'my.py:Blur(width=3)' is a class in a file of yours. Without --operator and --mask, pictures are examined."
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
            help="The measurements' noise: sigma on [-1, 1], or a share of the range, e.g. 25/255; auto: estimated "
            "from each picture; or a model: 'poisson(peak=30)', 'poisson-gaussian(peak=30, sigma=0.02)', "
            "'speckle(looks=10)', 'salt-and-pepper(share=0.1)', 'quantisation(bits=4)'. Default: auto for pictures, "
            "0.05 for arrays and with --simulate; 0 with --mask, jpeg and bit-depth, which keeps observed pixels as "
            "they are."
        ),
    ] = None,
    simulate: Simulate = False,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Posterior samples per picture (default: 1). 2 or more give mean and std; with phase-retrieval "
            "(default: 4) the result is the sample with the smallest residual.",
        ),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="LEVEL",
            help="Write the interval that holds each pixel's true value with this probability, e.g. 0.9.",
        ),
    ] = None,
    widen: Annotated[
        float,
        typer.Option(metavar="FACTOR", help="Factor on the intervals' width: docs/uncertainty.md has measured ones."),
    ] = 1.0,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of the sampler (default: those of auto's choice; for a named sampler its paper's number, "
            "at most 250).",
        ),
    ] = None,
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
            help="Picture that marks what to restore: white and grey are restored, black is kept. Or a folder of masks "
            "named like the pictures."
        ),
    ] = None,
    mask_invert: Annotated[bool, typer.Option("--mask-invert", help="Black is restored, white is kept.")] = False,
    fit: Fit = None,
    range_: Range = None,
    format_: Format = None,
    region: Region = None,
    max_memory: MaxMemory = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what is found in the pictures, and stop.")] = False,
    prior: PriorByTask = None,
    seed: Seed = 0,
    batch: Batch = "auto",
    checkpointing: Checkpointing = "auto",
    jobs: Jobs = None,
    executor: ExecutorName = None,
    timeout: Timeout = None,
    address: Address = None,
    gpus: Gpus = None,
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
    from posteriori.jobs.executors import executor_of
    from posteriori.restore.inputs import find_sources, passed_over
    from posteriori.restore.plans import plans
    from posteriori.restore.request import Request

    try:
        request = Request(
            files=tuple(files),
            operator=operator,
            sampler=sampler,
            noise=noise,
            simulate=simulate,
            samples=samples,
            interval=interval,
            widen=widen,
            steps=steps,
            time=time,
            mask=mask,
            mask_invert=mask_invert,
            fit=fit,
            range=range_,
            format=format_,
            region=region,
            max_memory=max_memory,
            prior=prior,
            seed=seed,
            batch=rows_of(batch),
            device=device,
            dtype=dtype,
        )
        if dry_run and not request.unknown:
            raise UsageError("--dry-run says what is found in pictures: leave out --operator and --mask")
        if dry_run:
            look(find_sources(files), out, range_)
        planned, failed = plans(
            request,
            out,
            lambda source: looked_at(source, out, range_, quiet=quiet),
            lambda source, x, asked: blur_of(source, x, asked, out, quiet=quiet),
        )
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None
    workers = executor_of(executor, jobs, timeout, address=address, gpus=gpus)
    manner = Manner(overwrite, quiet, as_json, checkpointing, workers)
    run(planned, out, manner, unread=passed_over(files), failed=failed)

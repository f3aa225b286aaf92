"""``posteriori train``: a diffusion prior from a folder or zip of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from posteriori.cli.options import Device, Dtype, Quiet

EPILOG = """
Examples:

  posteriori train faces.zip --out runs/faces-64

  posteriori train photos/ --out runs/photo --config photo.json --device cuda

  torchrun --nproc-per-node 4 --no-python posteriori train photos/ --out runs/photo --device cuda
"""


def train(
    data: Annotated[Path, typer.Argument(help="A folder, with its subfolders, or a zip of images of any size.")],
    out: Annotated[Path, typer.Option(help="Folder of the run. If it holds a checkpoint, the run resumes.")],
    config: Annotated[
        Path | None, typer.Option(help="JSON with training settings by name; others keep their defaults.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images to train on in total, with repeats (default: 160000).")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random (default: 0).")] = None,
    licence: Annotated[str, typer.Option(help="Terms of the trained prior, for its model card.")] = "not recorded",
    device: Device = "auto",
    dtype: Dtype = "auto",
    threads: Annotated[int | None, typer.Option(min=1, max=4096, help="CPU threads (default: all).")] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the network: takes minutes, then steps are faster.")
    ] = False,
    evaluate_every: Annotated[
        int, typer.Option(min=1, help="Images between held-out PSNRs and sample sheets.")
    ] = 16_000,
    checkpoint_every: Annotated[float, typer.Option(min=0, help="Seconds between checkpoints.")] = 120,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write OUT/tensorboard as well.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a prior and write it as a diffusers folder, OUT/prior, with a model card.

    After Ctrl-C (exit code 130), SIGTERM (143) or a kill, the same command resumes exactly from the last checkpoint.

    Under torchrun, the processes (one per GPU, or several on CPUs) share every batch.

    OUT also gets loss.csv, heldout.csv (denoising PSNR by noise level) and sheets of samples.
    A network for only some noise levels gets no sheets.
    """
    from contextlib import nullcontext

    import torch
    from rich.text import Text

    from posteriori.jobs.lock import claimed_folder
    from posteriori.progress import bar
    from posteriori.terminal import console
    from posteriori.training.config import TrainConfig
    from posteriori.training.distributed import joined
    from posteriori.training.run import TrainingRun

    if threads:
        torch.set_num_threads(threads)
    values = (TrainConfig.from_file(config) if config else TrainConfig()).to_json()
    given = {name: value for name, value in (("images", images), ("seed", seed)) if value is not None}
    settings = TrainConfig.from_json(values | given)
    with joined(device) as (ranks, device), claimed_folder(out) if ranks.first else nullcontext():
        quiet = quiet or not ranks.first
        to = console(stderr=True, quiet=quiet)
        with to.status(Text(f"decoding {data}")):
            run = TrainingRun(
                data,
                out,
                settings,
                device=device,
                dtype=dtype,
                compile=compile,
                licence=licence,
                evaluate_every=evaluate_every,
                checkpoint_every=checkpoint_every,
                tensorboard=tensorboard,
                ranks=ranks,
            )
        trainer = run.trainer
        for problem in run.damaged:
            to.print(f"left out: {problem}", soft_wrap=True)
        if run.damaged:
            to.print(f"left out {len(run.damaged)} of {sum(run.images) + len(run.damaged)} pictures")
        if run.resumed:
            seen = f"{trainer.step * settings.batch_size:,} of {settings.images:,} images"
            to.print(f"resuming from {run.resumed} at {seen}")
        loss = None
        with bar("loss {task.fields[loss]:.4f}  {task.fields[rate]:.0f} images/s", quiet=quiet) as progress:
            total, seen = (steps * settings.batch_size for steps in (settings.steps, trainer.step))
            task = progress.add_task("images", total=total, completed=seen, loss=0.0, rate=0.0)
            for step in run:
                loss = step.loss if loss is None else 0.98 * loss + 0.02 * step.loss
                progress.update(task, advance=settings.batch_size, loss=loss, rate=settings.batch_size / step.seconds)
    if not quiet:
        typer.echo(f"{trainer.step:,} of {settings.steps:,} steps; the prior is in {out / 'prior'}")
    if run.stopped:
        raise typer.Exit(128 + run.stopped)

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from posteriori.errors import PosterioriError

Prior = Annotated[str, typer.Option(help="Prior: a name of `posteriori priors list`, a folder or a checkpoint.")]
PriorByTask = Annotated[
    str | None,
    typer.Option(
        "--prior",
        help="Prior: a name of `posteriori priors list`, a folder or a checkpoint (default: photo, which takes any "
        "size; faces-64 with --fit, and for pictures of 64 x 64 whose --operator or --mask is given).",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the noise and of the samplers.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps; auto: the first there is of cuda, mps and cpu.")]
Dtype = Annotated[str, typer.Option(help="Arithmetic of the network: auto, float32, bfloat16, float16.")]
Out = Annotated[Path, typer.Option(help="Folder to write into; it is made where it is missing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what other settings have written there.")]
Files = Annotated[
    list[str],
    typer.Argument(
        help="Pictures, folders of pictures, .npy measurements, - for standard input, or astronaut, chelsea, coffee."
    ),
]
Fit = Annotated[
    Literal["crop", "pad", "resize"] | None,
    typer.Option(help="Where the size is not the prior's: crop the centre, pad by mirroring, or resize the centre."),
]
Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="BLACK..WHITE",
        help="Black and white of numbers whose file does not say it, like 0..255 or 0..4095: of .npy measurements "
        "(default: -1..1, where that is likely), 16 bits, floating-point TIFF, DICOM and NIfTI.",
    ),
]
Format = Annotated[
    Literal["png", "jpeg", "webp", "tiff", "avif", "jp2", "ppm", "bmp", "npy"] | None,
    typer.Option(
        "--format", help="Format of the result that stands under the input's name (default: the input's own)."
    ),
]
Region = Annotated[
    str | None,
    typer.Option(metavar="LEFT,TOP,WIDTH,HEIGHT", help="Restore this part of each picture alone, to look at settings."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Cut large pictures into tiles that keep network calls within it, like 4G."),
]
Batch = Annotated[
    str,
    typer.Option(help="Images in one network call: a number; or auto, as many as pay at their size and memory holds."),
]
Checkpointing = Annotated[
    Literal["auto", "on", "off"],
    typer.Option(
        help="Gradients in less memory and more time, activations computed again: auto, where memory is short."
    ),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Steps of the sampler (default: auto's choice, or its paper's, at most 250).")
]
Simulate = Annotated[
    bool, typer.Option("--simulate", help="The files are clean: degrade them first, restore, and score.")
]


def rows_of(text: str) -> int | None:
    """``--batch``: a number of images, or None for auto."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise PosterioriError(f"--batch is {text!r}: give auto or a number of images, at least 1")
    return int(text)

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
        "size; but faces-64 if the degradation is given, for pictures of 64 x 64 and with --fit).",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the noise and of the samplers.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto: cuda if there is one, else mps, else cpu.")]
Dtype = Annotated[
    str,
    typer.Option(help="Arithmetic of the network: float32, bfloat16, float16, or auto: the fastest accurate one here."),
]
Out = Annotated[Path, typer.Option(help="Output folder, created if missing.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results of other settings in the output folder.")]
Files = Annotated[
    list[str],
    typer.Argument(
        help="Pictures, folders of pictures, .npy measurements, - for standard input, or astronaut, chelsea, coffee."
    ),
]
Fit = Annotated[
    Literal["crop", "pad", "resize"] | None,
    typer.Option(
        help="How to fit a picture to the prior's size: crop its centre, pad by mirroring, or resize its centre square."
    ),
]
Range = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="BLACK..WHITE",
        help="The pixel values of black and white, like 0..4095, if the file does not say: for .npy (default: -1..1, "
        "if that is plausible), 16 bits, floating-point TIFF, DICOM and NIfTI.",
    ),
]
Format = Annotated[
    Literal["png", "jpeg", "webp", "tiff", "avif", "jp2", "ppm", "bmp", "npy"] | None,
    typer.Option("--format", help="Format of the result under the input's name (default: the input's format)."),
]
Region = Annotated[
    str | None,
    typer.Option(metavar="LEFT,TOP,WIDTH,HEIGHT", help="Restore only this part of each picture, to try settings."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Memory limit of a network call, like 4G: large pictures are cut into tiles that fit."
    ),
]
Batch = Annotated[
    str,
    typer.Option(help="Images per network call: a number, or auto for as many as help and fit into memory."),
]
Checkpointing = Annotated[
    Literal["auto", "on", "off"],
    typer.Option(
        help="Recompute activations for gradients, which saves memory and costs time; auto: only if memory is short."
    ),
]
Simulate = Annotated[
    bool, typer.Option("--simulate", help="The files are clean: degrade them, restore them, and score the result.")
]


def rows_of(text: str) -> int | None:
    """``--batch``: a number of images, or None for auto."""
    if text == "auto":
        return None
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise PosterioriError(f"--batch is {text!r}: give auto or a number of images, at least 1")
    return int(text)

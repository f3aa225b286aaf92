"""A picture looked at where nothing is said of its degradation: what was found is printed, and scratches are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from posteriori.diagnosis.picture import Diagnosis
    from posteriori.restore.inputs import Source


def looked_at(source: Source, out: Path, scale: str | None, *, quiet: bool) -> Diagnosis:
    """What is wrong with ``source``, in five lines; the mask of scratches is OUT/NAME-scratches.png."""
    import torch

    from posteriori.diagnosis.picture import diagnose
    from posteriori.images.files import read_bytes, save_image
    from posteriori.restore.inputs import load

    found = diagnose(load(source, None, None, arrays=True, scale=scale).x, read_bytes(source.path), source.path)
    lines = found.lines
    if found.scratches is not None:
        mask = out / f"{source.name}-scratches.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        save_image(2 * torch.from_numpy(found.scratches.mask).float().expand(3, -1, -1) - 1, mask)
        seen = f"see {mask}" if found.scratched else f"see {mask}, for --mask"
        lines = [(name, f"{text}: {seen}" if name == "lines" else text) for name, text in lines]
    if not quiet:
        typer.echo("\n".join([source.name, *(f"  {name:<6}{text}" for name, text in lines)]), err=True)
    return found


def look(sources: Sequence[Source], out: Path, scale: str | None) -> None:
    """``looked_at`` each, and exits: with 1 where one cannot be read."""
    from posteriori.errors import PosterioriError

    missed = False
    for source in sources:
        try:
            looked_at(source, out, scale, quiet=False)
        except (OSError, PosterioriError) as error:
            typer.echo(f"posteriori: {error}", err=True)
            missed = True
    raise typer.Exit(int(missed))

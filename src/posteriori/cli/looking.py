"""Examines pictures whose degradation is not given, and prints what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from posteriori.diagnosis.picture import Diagnosis
    from posteriori.restore.inputs import Source
    from posteriori.settings.text import Chain


def looked_at(source: Source, out: Path, scale: str | None, *, quiet: bool) -> Diagnosis:
    """What is wrong with ``source``, in five lines, which are printed unless ``quiet``: see ``restore.looking``."""
    from posteriori.restore.looking import look

    found, lines = look(source, out, scale)
    if not quiet:
        typer.echo("\n".join([source.name, *(f"  {name:<6}{text}" for name, text in lines)]), err=True)
    return found


def look(sources: Sequence[Source], out: Path, scale: str | None) -> None:
    """``looked_at`` each of ``sources``, and exits: with 1 if one cannot be read."""
    from posteriori.errors import PosterioriError

    missed = False
    for source in sources:
        try:
            looked_at(source, out, scale, quiet=False)
        except (OSError, PosterioriError) as error:
            typer.echo(f"posteriori: {error}", err=True)
            missed = True
    raise typer.Exit(int(missed))


def blur_of(source: Source, x: Tensor, asked: Chain, out: Path, *, quiet: bool) -> Chain:
    """``asked`` with its unknown field estimated from the picture ``x``. Prints the result."""
    from posteriori.diagnosis.blind import TICKS
    from posteriori.progress import bar
    from posteriori.restore.blur import blur_of

    with bar("", transient=True, quiet=quiet) as progress:
        task = progress.add_task(f"the blur of {source.name}", total=TICKS)
        found, text = blur_of(x, source, asked, out, lambda: progress.advance(task))
    if not quiet:
        typer.echo(f"{source.name}\n  blur  {text}", err=True)
    return found

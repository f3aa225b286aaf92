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
    """What is wrong with ``source``, in five lines, which are printed unless ``quiet``: see ``restore.looking``."""
    from posteriori.restore.looking import look

    found, lines = look(source, out, scale)
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

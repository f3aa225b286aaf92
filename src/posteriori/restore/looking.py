"""Diagnoses a picture whose degradation is not given."""

from __future__ import annotations

from pathlib import Path

from posteriori.diagnosis.picture import Diagnosis, diagnose
from posteriori.images.files import read_bytes, save_grey
from posteriori.restore.inputs import Source, load


def look(source: Source, out: Path, scale: str | None = None) -> tuple[Diagnosis, list[tuple[str, str]]]:
    """The diagnosis of ``source``, and five lines (what was examined, what was found); ``scale`` as in ``load``.

    The mask of scratches is OUT/NAME-scratches.png. Raises OSError or PosterioriError.
    """
    found = diagnose(load(source, None, None, arrays=True, scale=scale).x, read_bytes(source.path), source.path)
    if found.scratches is None:
        return found, found.lines
    mask = out / f"{source.name}-scratches.png"
    mask.parent.mkdir(parents=True, exist_ok=True)
    save_grey(found.scratches.mask, mask)
    seen = f"see {mask}" if found.scratched else f"see {mask}, for --mask"
    return found, [(name, f"{text}: {seen}" if name == "lines" else text) for name, text in found.lines]

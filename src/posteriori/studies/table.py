"""Tables: for people as text, for programs as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posteriori.files import atomic_path


@dataclass(frozen=True)
class Table:
    """A table for people. Cells are Markdown, such as ``**bold**``; ``note`` says what the numbers mean."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    @property
    def worded(self) -> set[int]:
        """The columns of text rather than numbers, which a page aligns on the left."""
        found = [[cell for cell in cells if cell] for cells in zip(*self.rows, strict=True)]
        return {i for i, cells in enumerate(found) if all(cell[0].isalpha() for cell in cells)} | self.wordy

    @property
    def wordy(self) -> set[int]:
        """The columns after the first whose cells are long: a page may break them into lines."""
        return {i for i, cells in enumerate(zip(*self.rows, strict=True)) if i and max(map(len, cells)) > 40}

    def markdown(self) -> str:
        """The header and rows as Markdown, without the note."""
        lines = [_row(self.columns), "|---" * len(self.columns) + "|", *map(_row, self.rows)]
        return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes ``rows`` with all digits. None and NaN become empty cells."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if _missing(value) else value for name, value in row.items()})


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))

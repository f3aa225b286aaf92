"""``posteriori samplers`` and ``posteriori operators``: every name that a spec can have, and its fields."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from posteriori.operators.base import Operator
    from posteriori.sampler import Sampler

SAMPLERS_EPILOG = "Examples:  posteriori samplers  |  posteriori samplers --json"
OPERATORS_EPILOG = "Examples:  posteriori operators  |  posteriori operators --json"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def samplers(as_json: Json = False) -> None:
    """List the samplers with their fields, written like dps(scale=0.3), and their papers."""
    from posteriori.samplers import SAMPLERS

    _show(SAMPLERS, as_json)


def operators(as_json: Json = False) -> None:
    """List the operators with their fields, written like gaussian-blur(sigma=3.0), and their papers."""
    from posteriori.operators import OPERATORS

    _show(OPERATORS, as_json)


def _show(classes: Sequence[type[Sampler | Operator]], as_json: bool) -> None:
    entries = [_entry(cls) for cls in classes]
    if as_json:
        typer.echo(json.dumps(entries, indent=2))
    else:
        _print(entries)


def _entry(cls: type[Sampler | Operator]) -> dict[str, Any]:
    """A class as JSON. Defaults are as a spec writes them, null where the field is an array."""
    from posteriori.settings.fields import about, accepts, class_fields
    from posteriori.settings.text import INSTEAD, format_default

    summary, paper = about(cls)
    instead = INSTEAD.get(cls.name)
    fields = []
    for field in class_fields(cls):
        fields.append(
            {
                "name": field.name,
                "default": None if instead else format_default(field.default),
                "accepts": accepts(field.type),
                "meaning": field.meaning,
            }
        )
    return {"name": cls.name, "summary": summary, "paper": paper, "instead": instead, "fields": fields}


def _print(entries: list[dict[str, Any]]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from posteriori.terminal import console

    to = console()
    # one width for all, so that the columns of the classes line up
    widths = [max(len(f[key] or "") for entry in entries for f in entry["fields"]) for key in ("name", "default")]
    for i, entry in enumerate(entries):
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for width in widths:
            table.add_column(min_width=width, no_wrap=True)
        table.add_column()
        for field in entry["fields"]:
            meaning = Text.assemble(field["meaning"], (f"; {field['accepts']}", "dim"))
            table.add_row(field["name"], field["default"] or "", meaning)
        paper = f"Paper: {entry['paper']}" if entry["paper"] else ""
        if i:
            to.print()
        to.print(Text(entry["name"], "bold"))
        for part in (Text(entry["summary"]), table, Text(entry["instead"] or ""), Text(paper, "dim")):
            if part:
                to.print(Padding(part, (0, 0, 0, 2)))

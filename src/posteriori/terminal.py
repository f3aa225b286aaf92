"""What is printed for people, in the colours of a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console(*, stderr: bool = False, quiet: bool = False, width: int = 0) -> Console:
    """A rich console, at least ``width`` columns wide, that prints names as they are.

    Rich's own would take the [old] of a file's name for markup, :cat: for an emoji, and colour the digits.
    """
    from rich.console import Console

    made = Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)
    if width > made.width:
        made.width = width
    return made

"""Counts and lists in sentences."""

from __future__ import annotations

from collections.abc import Iterable


def counted(n: int, thing: str) -> str:
    """ "1 seed", "3 seeds"."""
    return f"{n} {thing}{'s' * (n > 1)}"


def enumerated(things: Iterable[object]) -> str:
    """ "8, 80 and 800"."""
    *others, last = map(str, things)
    return f"{', '.join(others)} and {last}" if others else last

"""Names of classes, and names that were typed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def classes(names: Mapping[str, Any], base: type[T]) -> tuple[type[T], ...]:
    """The subclasses of ``base`` among a module's ``names`` with a ``name`` of their own, in the module's order."""
    found = (thing for thing in names.values() if isinstance(thing, type) and issubclass(thing, base))
    return tuple(cls for cls in found if "name" in vars(cls))


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """``known``, the most similar to ``name`` first."""
    return sorted(known, key=lambda k: -difflib.SequenceMatcher(None, name.lower(), k.lower()).ratio())

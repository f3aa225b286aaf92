"""Bounds of a dataclass's fields: written in their annotations, checked when an object is made.

``scale: Annotated[float, Ge(0), "length of the step"] = 1.0`` takes finite numbers from 0 up, a ``Literal`` its words,
``bool`` and ``str`` what they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from numbers import Integral, Real
from operator import ge, gt, le
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le
from torch import Tensor

from posteriori.errors import PosterioriError

#: kinds that have no bounds, in words
_PLAIN: dict[type, str] = {bool: "true or false", str: "a text"}


class _Bound(NamedTuple):
    word: str
    end: Any
    holds: Callable[[Any, Any], bool]


class _Field(NamedTuple):
    """A field of the annotation ``kind`` that has bounds, or is a ``Literal``."""

    name: str
    kind: Any
    bounds: list[_Bound]

    def has(self, value: Any) -> bool:
        if get_origin(self.kind) is Literal:
            return value in get_args(self.kind)
        if value is None:
            return self.optional
        if (plain := _plain(self.kind)) is not None:
            return isinstance(value, plain)
        if not isinstance(value, Integral if self.whole else Real | Tensor) or isinstance(value, bool):
            return False
        return _finite(value) and all(bound.holds(value, bound.end) for bound in self.bounds)

    @property
    def whole(self) -> bool:
        return self.kind is int or int in get_args(self.kind)

    @property
    def optional(self) -> bool:
        return NoneType in get_args(self.kind)

    @property
    def wanted(self) -> str:
        if get_origin(self.kind) is Literal:
            return f"one of {', '.join(map(str, get_args(self.kind)))}"
        none = ", or none" if self.optional else ""
        if (plain := _plain(self.kind)) is not None:
            return _PLAIN[plain] + none
        said = " ".join(f"{bound.word} {bound.end}" for bound in self.bounds)
        if [bound.word for bound in self.bounds] == ["from"]:
            return (f"at least {self.bounds[0].end}" if self.whole else f"a finite number {said} up") + none
        return f"a {'whole' if self.whole else 'finite'} number {said}{none}"


def check(thing: Any, where: object = None) -> None:
    """Raises PosterioriError, one line, for the first field of ``thing`` beyond its bounds; it begins with ``where``.

    None is within them where the annotation has it.
    """
    for field in _fields(type(thing)):
        value = getattr(thing, field.name)
        if not field.has(value):
            shown = repr(value) if isinstance(value, str) else value
            place = "" if where is None else f"{where}: "
            raise PosterioriError(f"{place}{field.name} is {shown}: give {field.wanted}")


def _plain(kind: Any) -> type | None:
    """The key of ``_PLAIN`` that an annotation is, with None or without."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return next((plain for plain in _PLAIN if plain in kinds and set(kinds) <= {plain, NoneType}), None)


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


@cache
def _fields(cls: type) -> list[_Field]:
    found = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        kind, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        bounds = [bound for mark in metadata for bound in _bounds(mark)]
        if bounds or get_origin(kind) is Literal or _plain(kind) is not None:
            found.append(_Field(name, kind, bounds))
    return found


def _bounds(mark: Any) -> Iterator[_Bound]:
    if isinstance(mark, Ge):
        yield _Bound("from", mark.ge, ge)
    if isinstance(mark, Gt):
        yield _Bound("above", mark.gt, gt)
    if isinstance(mark, Le):
        yield _Bound("up to", mark.le, le)

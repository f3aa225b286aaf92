"""What the classes that a text can name say of their fields: names, kinds, defaults and meanings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import MISSING, fields
from inspect import get_annotations, getdoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from posteriori.arrays import Array
from posteriori.likelihoods import NOISES, Noise
from posteriori.operators import OPERATORS
from posteriori.operators.base import Operator
from posteriori.sampler import Sampler
from posteriori.samplers import SAMPLERS

T = TypeVar("T", bound=Sampler | Operator | Noise)


class Field(NamedTuple):
    """A hyperparameter: its annotation, its default and a line on what it means."""

    name: str
    type: Any
    default: Any
    meaning: str


def class_fields(cls: type[Sampler | Operator | Noise]) -> list[Field]:
    """The fields that a text can give: the class's own, then the inherited ones. An operator's shape is none."""
    hints = get_type_hints(cls, include_extras=True)
    own = get_annotations(cls)
    found = []
    for f in sorted(fields(cls), key=lambda f: f.name not in own):
        if get_origin(hints[f.name]) is Annotated:
            kind, *marks = get_args(hints[f.name])
            meaning = next(mark for mark in marks if isinstance(mark, str))
            default = f.default_factory() if f.default_factory is not MISSING else f.default
            found.append(Field(f.name, kind, default, meaning))
    return found


def accepts(kind: Any) -> str:
    """What a field of the annotation ``kind`` takes, in words."""
    if get_origin(kind) is Literal:
        return either(get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return either(map(accepts, get_args(kind)))
    if issubclass(kind, Sampler):
        return either(known_classes(kind))
    return {
        Array: "a file",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        NoneType: "none",
        Tensor: "an array",
    }[kind]


def fits(value: Any, kind: Any) -> bool:
    """Whether a field of the annotation ``kind`` takes ``value``."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(fits(value, option) for option in get_args(kind))
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is (str if kind is Array else kind)


def about(cls: type[Sampler | Operator | Noise]) -> tuple[str, str]:
    """(summary, paper) of a class: the first paragraph of its docstring, and the one that starts with "Paper: "."""
    paragraphs = [" ".join(p.split()) for p in (getdoc(cls) or "").split("\n\n")]
    return paragraphs[0], next((p.removeprefix("Paper: ") for p in paragraphs if p.startswith("Paper: ")), "")


def known_classes(base: type[T]) -> dict[str, type[T]]:
    """The classes of ``base`` that ship, by name."""
    return {cls.name: cls for cls in (*SAMPLERS, *OPERATORS, *NOISES) if issubclass(cls, base)}


def either(words: Iterable[str]) -> str:
    """The words as an enumeration that ends in "or"."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last

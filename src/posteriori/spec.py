"""Samplers and operators as text: ``dps(scale=0.3)``, ``box-mask(size=50)``, ``sdedit(base=ddim(eta=0))``.

    spec  = name [ "(" [ field "=" value { "," field "=" value } ] ")" ]
    value = number | true | false | none | word | "words" | 'words' | spec

Names are the classes' ``name``, fields their dataclass fields, checked against the annotations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from inspect import get_annotations, getdoc
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from posteriori.names import nearest
from posteriori.operators import OPERATORS
from posteriori.operators.base import Operator
from posteriori.sampler import Sampler
from posteriori.samplers import SAMPLERS

T = TypeVar("T", bound=Sampler | Operator)

#: what to use for the operators that hold an array, which a line of text cannot
INSTEAD = {
    "mask": "give --mask FILE, or pass the array to posteriori.Mask in Python",
    "dense": "pass the matrix to posteriori.Dense in Python",
}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(r"""'[^']*'|"[^"]*"|[^\s(),='"]+|.""")
_CONSTANTS = {"true": True, "false": False, "none": None}


class Field(NamedTuple):
    """A hyperparameter: its annotation, its default and a line on what it means."""

    name: str
    type: Any
    default: Any
    meaning: str


@dataclass(frozen=True)
class Spec(Generic[T]):
    """What a text says: the class it names, and the fields that it gives, checked; a sampler in a field is a Spec."""

    cls: type[T]
    fields: dict[str, Any]

    def build(self, *shape: tuple[int, ...]) -> T:
        """The object, with the class's defaults for what is not given; an operator takes the images' ``shape``."""
        return self.cls(*shape, **{k: v.build() if isinstance(v, Spec) else v for k, v in self.fields.items()})


def read_sampler(text: str) -> Spec[Sampler]:
    """The sampler that ``text`` names and the fields given there, for ``presets.resolve(cls, ..., **fields)``.

    ValueError, one line: what is wrong, what is accepted, and where.
    """
    return _Reader(text).whole("sampler", SAMPLERS)


def read_samplers(text: str) -> list[type[Sampler]]:
    """The samplers of "dps,ddim", or of "all", in the order in which they are listed; ValueError where one is none."""
    if text == "all":
        return list(SAMPLERS)
    known = {cls.name: cls for cls in SAMPLERS}
    asked = [name.strip() for name in text.split(",")]
    for name in asked:
        if name not in known:
            raise ValueError(f"no sampler is called {name!r}: there are {', '.join(nearest(name, known))}")
    return [cls for cls in SAMPLERS if cls.name in asked]


def parse_sampler(text: str) -> Sampler:
    """The sampler of ``text``; fields not given have the class's defaults. ValueError as ``read_sampler``."""
    return read_sampler(text).build()


def read_operator(text: str) -> Spec[Operator]:
    """The operator that ``text`` names and the fields given there. ValueError as ``read_sampler``."""
    return _Reader(text).whole("operator", OPERATORS)


def parse_operator(text: str, shape: tuple[int, ...]) -> Operator:
    """The operator of ``text`` for images of ``shape``. ValueError as ``read_sampler``."""
    return read_operator(text).build(shape)


def format_spec(thing: Sampler | Operator) -> str:
    """The text of a sampler or operator, with every field, so that it outlives a change of defaults.

    An operator's shape is left out. ValueError for the operators that hold an array.
    """
    if thing.name in INSTEAD:
        raise ValueError(_no_text(thing.name))
    given = [f"{field.name}={format_value(getattr(thing, field.name))}" for field in class_fields(type(thing))]
    return thing.name + (f"({', '.join(given)})" if given else "")


def format_value(value: Any) -> str:
    """A field's value as ``format_spec`` writes it."""
    if isinstance(value, Sampler):
        return format_spec(value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def class_fields(cls: type[Sampler | Operator]) -> list[Field]:
    """The fields that a text can give: the class's own, then the inherited ones. An operator's shape is none."""
    hints = get_type_hints(cls, include_extras=True)
    own = get_annotations(cls)
    found = []
    for f in sorted(fields(cls), key=lambda f: f.name not in own):
        if get_origin(hints[f.name]) is Annotated:
            kind, meaning = get_args(hints[f.name])
            default = f.default_factory() if f.default_factory is not MISSING else f.default
            found.append(Field(f.name, kind, default, meaning))
    return found


def accepts(kind: Any) -> str:
    """What a field of the annotation ``kind`` takes, in words."""
    if get_origin(kind) is Literal:
        return _either(get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return _either(map(accepts, get_args(kind)))
    if issubclass(kind, Sampler):
        return _either(c.name for c in SAMPLERS if issubclass(c, kind))
    return {int: "a whole number", float: "a number", bool: "true or false", NoneType: "none", Tensor: "an array"}[kind]


def about(cls: type[Sampler | Operator]) -> tuple[str, str]:
    """(summary, paper) of a class: the first paragraph of its docstring, and the one that starts with "Paper: "."""
    paragraphs = [" ".join(p.split()) for p in (getdoc(cls) or "").split("\n\n")]
    return paragraphs[0], next((p.removeprefix("Paper: ") for p in paragraphs if p.startswith("Paper: ")), "")


def _no_text(name: str) -> str:
    return f"{name} holds an array, which a text cannot: {INSTEAD[name]}"


def _either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(kind))
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is kind


def _literal(token: str) -> Any:
    if _NUMBER.fullmatch(token):
        whole = token.lstrip("+-").isdigit() and math.isfinite(float(token))  # thousands of digits are no size
        return int(token) if whole else float(token)
    return _CONSTANTS.get(token, token[1:-1] if token[0] in "'\"" else token)


class _Reader:
    """A recursive descent over the grammar, led by the classes' annotations: ``at`` is the next character."""

    def __init__(self, text: str):
        self.text, self.at = text, 0

    def whole(self, what: str, classes: Sequence[type[T]]) -> Spec[T]:
        spec = self.spec(what, classes)
        if self.ahead():
            raise self.error(f"expected the end after {spec.cls.name}, got {self.rest()}", self.at)
        return spec

    def spec(self, what: str, classes: Sequence[type[T]]) -> Spec[T]:
        known = {cls.name: cls for cls in classes}
        name, at = self.token(f"{what}: {_either(known)}")
        if name not in known:
            raise self.error(f"no {what} is called {name!r}: there are {', '.join(nearest(name, known))}", at)
        if name in INSTEAD:
            raise self.error(_no_text(name), at)
        fields = {field.name: field for field in class_fields(known[name])}
        given: dict[str, Any] = {}
        more = self.skip("(") and not self.skip(")")
        while more:
            key, at = self.token(f"field of {name} or )")
            if key not in fields:
                raise self.error(f"{name} has no field {key!r}: it has {', '.join(nearest(key, fields)) or 'none'}", at)
            if key in given:
                raise self.error(f"{key} is given twice: give it once", at)
            if not self.skip("="):
                raise self.error(f"expected = after {key}, got {self.rest()}", self.at)
            given[key] = self.value(fields[key])
            more = self.skip(",")
            if not more and not self.skip(")"):
                raise self.error(f"expected , or ) after {key}, got {self.rest()}", self.at)
        return Spec(known[name], given)

    def value(self, field: Field) -> Any:
        if isinstance(field.type, type) and issubclass(field.type, Sampler):
            return self.spec(f"sampler for {field.name}", [cls for cls in SAMPLERS if issubclass(cls, field.type)])
        token, at = self.token(f"value of {field.name}, {accepts(field.type)}")
        value = _literal(token)
        if not _fits(value, field.type):
            raise self.error(f"{field.name} takes {accepts(field.type)}, got {token!r}", at)
        return float(value) if field.type is float else value

    def token(self, expected: str) -> tuple[str, int]:
        """The next token and where it begins."""
        if not self.ahead():
            raise self.error(f"expected a {expected}, got the end", self.at)
        found = _TOKEN.match(self.text, self.at)
        assert found
        self.at = found.end()
        return found[0], found.start()

    def skip(self, sign: str) -> bool:
        """Whether ``sign`` comes next; it is then passed."""
        there = self.ahead() == sign
        self.at += there
        return there

    def ahead(self) -> str:
        """The next character that is not white space, "" at the end."""
        self.at = len(self.text) - len(self.text[self.at :].lstrip())
        return self.text[self.at : self.at + 1]

    def rest(self) -> str:
        return repr(self.text[self.at :]) if self.ahead() else "the end"

    def error(self, message: str, at: int) -> ValueError:
        return ValueError(f"{message} (at character {at + 1} of {self.text!r})")

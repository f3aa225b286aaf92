"""Samplers and operators as text: ``dps(scale=0.3)``, ``box-mask(size=50)``, ``sdedit(base=ddim(eta=0))``.

    whole = spec { "@" spec }
    spec  = name [ "(" [ field "=" value { "," field "=" value } ] ")" ]
    name  = word | file.py:Class
    value = number | true | false | none | word | "words" | 'words' | file | spec | auto [ ":" side ]

Names are the classes' ``name``, or a user's own class in a file (``own.py``), fields their dataclass fields, checked
against the annotations. Operators are composed by @, ``downsample(factor=2) @ gaussian-blur(sigma=1.5)``: the last one
takes the picture. The form is that of Python's calls and products, and Python's own parser reads it. ``auto`` is for a
field of an operator that can be estimated from a picture; ``auto:51`` also gives the side of the kernel's window.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, replace
from typing import Any, Generic, get_args

from torch import Tensor

from posteriori.arrays import Array
from posteriori.errors import PosterioriError
from posteriori.likelihoods import Noise
from posteriori.names import nearest
from posteriori.operators.base import Composition, Operator
from posteriori.sampler import Sampler
from posteriori.samplers import SAMPLERS
from posteriori.settings.fields import Field, T, accepts, class_fields, either, fits, known_classes
from posteriori.settings.own import is_own, load

#: what to use for operators that hold an array, which a line of text cannot hold
INSTEAD = {
    "mask": "give --mask FILE, or pass the array to posteriori.Mask in Python",
    "dense": "pass the matrix to posteriori.Dense in Python",
}

#: the error for ``auto`` in a field that cannot be estimated from a picture
NOT_FOUND = (
    "only a blur can be estimated from a picture: give blur(kernel=auto) for any kernel, such as camera shake, or "
    "gaussian-blur(sigma=auto)"
)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"""'[^']*'|"[^"]*"|[^\s(),='"]+\.py[:#][^\s(),='"]+|[^\s(),='"@]+""")
_AUTO = re.compile(r"auto(?::(\d{1,4}))?", re.ASCII)
_CONSTANTS = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Unknown:
    """A field's value that is to be estimated from the picture. ``side`` is that of a kernel's window, in pixels."""

    side: int | None = None


@dataclass(frozen=True)
class Spec(Generic[T]):
    """The content of a text: the class, and the fields given, checked. A sampler in a field is a Spec."""

    cls: type[T]
    fields: dict[str, Any]

    def build(self, *shape: tuple[int, ...]) -> T:
        """The object, with the class's defaults for fields not given. An operator takes the images' ``shape``.

        An object of a user's own class is tested first. Raises PosterioriError if that fails, or if a value is still to
        be estimated.
        """
        for name, value in self.fields.items():
            if isinstance(value, Unknown):
                raise PosterioriError(
                    f"{self.cls.name}({name}=auto) is estimated from a picture by `posteriori restore FILE`: "
                    f"give {name}=VALUE here"
                )
        built = self.cls(*shape, **{k: v.build() if isinstance(v, Spec) else v for k, v in self.fields.items()})
        if is_own(self.cls.name):
            from posteriori.settings.probe import probe

            probe(built)
        return built


@dataclass(frozen=True)
class Chain:
    """The content of an operator's text: the specs that it composes, one or more. The first one gives y."""

    parts: tuple[Spec[Operator], ...]

    @property
    def name(self) -> str:
        """The operator's name."""
        return " @ ".join(part.cls.name for part in self.parts)

    @property
    def unknown(self) -> Unknown | None:
        """What is to be estimated from the picture, or None."""
        return next((v for part in self.parts for v in part.fields.values() if isinstance(v, Unknown)), None)

    def found(self, value: Any) -> Chain:
        """This chain with ``value`` for what was unknown."""
        known = lambda own: value if isinstance(own, Unknown) else own  # noqa: E731
        return Chain(tuple(replace(p, fields={k: known(v) for k, v in p.fields.items()}) for p in self.parts))

    def build(self, shape: tuple[int, ...]) -> Operator:
        """The operator for images of ``shape``. PosterioriError as ``Spec.build``."""
        first, *rest = reversed(self.parts)
        operator = first.build(shape)
        for part in rest:
            operator = part.build(operator.measured_shape) @ operator
        return operator

    def for_files(self, fitted: bool = False) -> Chain:
        """This chain for measurements that are not simulated, with the operators' defaults for these.

        ``fitted``: for pictures, with a prior that has one size.
        """
        owns = (part.cls.for_fitted if fitted else part.cls.for_files for part in self.parts)
        return Chain(tuple(replace(p, fields={**own, **p.fields}) for p, own in zip(self.parts, owns, strict=True)))

    def of_resized(self, factor: float) -> Chain:
        """This chain if ``factor`` pixels of the picture became one. Raises PosterioriError if there is none."""
        return Chain(tuple(replace(part, fields=part.cls.of_resized(factor, **part.fields)) for part in self.parts))

    def image_shape(self, measured: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the images whose measurements are ``measured``."""
        for part in self.parts:
            measured = part.cls.image_shape(measured, **part.fields)
        return measured


def read_sampler(text: str) -> Spec[Sampler]:
    """The sampler that ``text`` names and the fields given there, for ``presets.resolve(cls, ..., **fields)``.

    PosterioriError, one line: what is wrong, what is accepted, and where.
    """
    return _Reader(text.strip()).whole("sampler", Sampler)


def read_samplers(text: str) -> list[type[Sampler]]:
    """The samplers of "dps,ddim", or of "all", in the order of the listing. PosterioriError for unknown names."""
    if text == "all":
        return list(SAMPLERS)
    known = {cls.name: cls for cls in SAMPLERS}
    asked = [name.strip() for name in text.split(",")]
    for name in asked:
        if name not in known:
            raise PosterioriError(f"no sampler is called {name!r}: there are {', '.join(nearest(name, known))}")
    return [cls for cls in SAMPLERS if cls.name in asked]


def parse_sampler(text: str) -> Sampler:
    """The sampler of ``text``; fields not given have the class's defaults. PosterioriError as ``read_sampler``."""
    return read_sampler(text).build()


def read_operator(text: str) -> Chain:
    """The operator that ``text`` names and the fields given there. PosterioriError as ``read_sampler``."""
    return _Reader(text.strip()).chain()


def parse_noise_model(text: str) -> Noise:
    """The noise model of ``text``, like ``poisson(peak=30)``. PosterioriError as ``read_sampler``."""
    spec = _Reader(text.strip()).whole("noise", Noise)
    missing = [field for field in class_fields(spec.cls) if field.default is MISSING and field.name not in spec.fields]
    if missing:
        wanted = ", ".join(f"{field.name}=VALUE, {accepts(field.type)}, {field.meaning}" for field in missing)
        raise PosterioriError(f"{spec.cls.name} has no default: give {spec.cls.name}({wanted})")
    return spec.build()


def parse_operator(text: str, shape: tuple[int, ...]) -> Operator:
    """The operator of ``text`` for images of ``shape``. PosterioriError as ``read_sampler``."""
    return read_operator(text).build(shape)


def format_spec(thing: Sampler | Operator | Noise) -> str:
    """The text of a sampler or operator, with every field, so that it outlives a change of defaults.

    An operator's shape is left out. PosterioriError for the operators that hold an array.
    """
    if isinstance(thing, Composition):
        return " @ ".join(map(format_spec, thing.parts))
    if thing.name in INSTEAD:
        raise PosterioriError(_no_text(thing.name))
    if any(isinstance(getattr(thing, field.name), Tensor) for field in class_fields(type(thing))):
        raise PosterioriError(f"this {thing.name} holds an array, which a text cannot: use it in Python")
    given = [f"{field.name}={format_value(getattr(thing, field.name))}" for field in class_fields(type(thing))]
    return thing.name + (f"({', '.join(given)})" if given else "")


def format_value(value: Any) -> str:
    """A field's value as ``format_spec`` writes it."""
    if isinstance(value, Sampler):
        return format_spec(value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def format_default(value: Any) -> str:
    """A field's value as listings show it: a sampler is its name only, since its own fields are listed."""
    return value.name if isinstance(value, Sampler) else format_value(value)


def _no_text(name: str) -> str:
    return f"{name} holds an array, which a text cannot: {INSTEAD[name]}"


def _literal(token: str) -> Any:
    if _NUMBER.fullmatch(token):
        whole = token.lstrip("+-").isdigit() and math.isfinite(float(token))  # thousands of digits are no integer here
        return int(token) if whole else float(token)
    return _CONSTANTS.get(token, token[1:-1] if token[0] in "'\"" else token)


@dataclass(frozen=True)
class _Reader:
    """Reads a text, using the annotations of the classes that it names."""

    text: str

    def whole(self, what: str, base: type[T]) -> Spec[T]:
        return self.spec(self.parsed(what, base), what, base)

    def chain(self) -> Chain:
        return Chain(tuple(self.specs(self.parsed("operator", Operator))))

    def specs(self, node: ast.expr) -> Iterator[Spec[Operator]]:
        """The specs of the operators that ``node`` composes, in the text's order."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield from self.specs(node.left)
            yield from self.specs(node.right)
        else:
            yield self.spec(node, "operator", Operator)

    def parsed(self, what: str, base: type[T]) -> ast.expr:
        """The tree of the whole text."""
        if not self.text:
            raise self.error(
                f"expected {'an' if what == 'operator' else 'a'} {what}: {either(known_classes(base))}, got the end", 0
            )
        # every word becomes a plain name of the same length, so that the parser's positions are those of the text
        plain = re.sub(r"\s", " ", _WORD.sub(lambda word: "x" * len(word[0]), self.text))
        try:
            tree = ast.parse(plain, mode="eval")
        except SyntaxError as error:
            if what == "operator" and self.text.endswith("@"):
                raise self.error("expected an operator after this @, got the end", len(self.text) - 1) from None
            raise self.broken((error.offset or 1) - 1) from None
        except (MemoryError, RecursionError):
            raise self.error("this is nested too deeply", 0) from None
        return tree.body

    def spec(self, node: ast.expr, what: str, base: type[T]) -> Spec[T]:
        known = known_classes(base)
        call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
        name, at = self.token(call.func)
        if is_own(name):
            known = {name: self.own(name, base, at)}
        if name not in known:
            raise self.error(f"no {what} is called {name!r}: there are {', '.join(nearest(name, known))}", at)
        if name in INSTEAD:
            raise self.error(_no_text(name), at)
        fields = {field.name: field for field in class_fields(known[name])}
        given: dict[str, Any] = {}
        for argument in (*call.args, *call.keywords):
            key, at = self.token(argument)
            value = argument
            if isinstance(argument, ast.keyword):
                key, value = key[: len(argument.arg or "")], argument.value
            findable = getattr(known[name], "findable", None) == key
            takes = findable or base is not Operator or (key in fields and fits("auto", fields[key].type))
            if not takes and _AUTO.fullmatch(self.token(value)[0]):
                raise self.error(NOT_FOUND, at)
            if key not in fields:
                raise self.error(f"{name} has no field {key!r}: it has {', '.join(nearest(key, fields)) or 'none'}", at)
            if not isinstance(argument, ast.keyword):
                raise self.error(f"{key} has no value: give {key}=VALUE, {accepts(fields[key].type)}", at)
            if key in given:
                raise self.error(f"{key} is given twice: give it once", at)
            unknown = self.unknown(argument.value) if findable else None
            given[key] = unknown or self.value(argument.value, fields[key])
        return Spec(known[name], given)

    def unknown(self, node: ast.expr) -> Unknown | None:
        """What ``auto`` and ``auto:51`` stand for; None for any other value."""
        token, at = self.token(node)
        auto = _AUTO.fullmatch(token)
        if auto is None:
            return None
        side = int(auto[1]) if auto[1] else None
        if side is not None and (side < 5 or side % 2 == 0):
            raise self.error(f"a kernel's window has a side of {side}: give an odd number of pixels, 5 or more", at)
        return Unknown(side)

    def value(self, node: ast.expr, field: Field) -> Any:
        if isinstance(field.type, type) and issubclass(field.type, Sampler):
            return self.spec(node, f"sampler for {field.name}", field.type)
        token, at = self.token(node)
        value = _literal(token)
        if not fits(value, field.type):
            raise self.error(f"{field.name} takes {accepts(field.type)}, got {token!r}", at)
        if isinstance(value, str) and Array in (field.type, *get_args(field.type)):
            try:
                return Array(value)
            except (OSError, PosterioriError) as error:
                raise self.error(str(error), at) from None
        return float(value) if field.type is float else value

    def own(self, name: str, base: type[T], at: int) -> type[T]:
        try:
            cls = load(name, base)
        except ValueError as error:
            raise self.error(str(error), at) from error
        for field in class_fields(cls):
            try:
                accepts(field.type)
            except (KeyError, TypeError):
                raise self.error(f"{name} has a field {field.name} of a type that a text cannot give", at) from None
        return cls

    def token(self, node: ast.expr | ast.keyword) -> tuple[str, int]:
        """The text of ``node``, and where it begins."""
        return self.text[node.col_offset : node.end_col_offset], node.col_offset

    def broken(self, at: int) -> PosterioriError:
        """The error for a text that cannot be parsed from ``at`` on."""
        rest = self.text[at:]
        if rest.startswith("("):
            return self.error("this ( is never closed: give a ) at its end", at)
        return self.error(f"expected NAME or NAME(FIELD=VALUE, ...), got {rest!r}", at)

    def error(self, message: str, at: int) -> PosterioriError:
        return PosterioriError(f"{message} (at character {at + 1} of {self.text!r})")

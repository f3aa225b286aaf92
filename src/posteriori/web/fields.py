"""Components for the fields of dataclasses, and the text of their values as on the command line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import gradio as gr
from torch import Tensor

from posteriori.arrays import Array
from posteriori.errors import PosterioriError
from posteriori.sampler import Sampler
from posteriori.settings.fields import Field, accepts, class_fields, known_classes
from posteriori.settings.text import INSTEAD, format_default, format_value

#: what a component shows if nothing was chosen
DEFAULT = "default"


def kind_of(annotation: Any) -> Any:
    """``annotation`` without its None."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def choices(annotation: Any) -> list[str] | None:
    """The words that a field takes, or None if it takes others."""
    kind = kind_of(annotation)
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    if kind is bool:
        return ["true", "false"]
    if isinstance(kind, type) and issubclass(kind, Sampler):
        return list(known_classes(kind))
    return None


def component(field: Field, place: str) -> gr.Dropdown | gr.Textbox:
    """The input for ``field``, with ``place`` in its HTML id; empty means the default."""
    usual = "" if field.default in (MISSING, None) else format_default(field.default)
    shown: dict[str, Any] = {"label": field.name.replace("_", " ").strip(), "info": field.meaning}
    shown["elem_id"] = f"{place}-{field.name}"
    words = choices(field.type)
    if words is not None:
        return gr.Dropdown([(f"{DEFAULT}: {usual}" if usual else DEFAULT, ""), *words], value="", **shown)
    return gr.Textbox("", placeholder=usual or DEFAULT, max_lines=1, **shown)


def given(field: Field, value: Any) -> Any:
    """``value`` of a component as the field takes it, None for its default. Raises PosterioriError if it is invalid."""
    text, words, kind = str("" if value is None else value).strip(), choices(field.type), kind_of(field.type)
    if not text:
        return None
    if words is not None and text not in words:
        raise PosterioriError(f"{field.name} is {text!r}: give one of {', '.join(words)}")
    if words is not None:
        return text == "true" if kind is bool else text
    if kind not in (int, float):
        return text
    try:
        number = kind(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise PosterioriError(f"{field.name} is {text!r}: give {accepts(kind)}")
    return number


def text_fields(cls: Any) -> list[Field]:
    """The fields of a class that the page offers: all but arrays and files."""
    return [field for field in class_fields(cls) if kind_of(field.type) not in (Array, Tensor)]


def text_of(cls: Any, values: Mapping[str, Any]) -> str:
    """The text of ``cls`` with the ``values`` of its components. It cannot name a file."""
    found = {field.name: given(field, values.get(field.name)) for field in text_fields(cls)}
    words = [f"{name}={format_value(value)}" for name, value in found.items() if value is not None]
    return cls.name + (f"({', '.join(words)})" if words else "")


def offered(classes: Iterable[Any]) -> dict[str, Any]:
    """The ``classes`` that a text can name, by name."""
    return {cls.name: cls for cls in classes if cls.name not in INSTEAD}

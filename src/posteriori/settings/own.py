"""Classes of a user's own, from a file: ``my.py:Mine``.

What a text writes is ``my.py#0123456789abcdef:Mine``, with the first digits of the file's sha256: whatever is named by
that text, as stored results and manifests are, is of this version of the code, and no other version is taken for it.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import MISSING, dataclass, fields
from inspect import get_annotations
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from posteriori.errors import PosterioriError
from posteriori.names import nearest

T = TypeVar("T")

_NAME = re.compile(r"(?P<file>[^\s(),='\"#]+\.py)(#(?P<digits>[0-9a-f]{16}))?:(?P<cls>\w+)")


@dataclass(frozen=True)
class Code:
    """A file of Python as it was when it was read; ``file`` is its path as it was given."""

    file: str
    sha256: str
    module: ModuleType

    @property
    def name(self) -> str:
        return f"{self.file}#{self.sha256[:16]}"


#: every file that was read in this process, by its name
_read: dict[str, Code] = {}


def is_own(name: str) -> bool:
    """Whether ``name`` is that of a class in a file."""
    return bool(_NAME.fullmatch(name))


def load(name: str, base: type[T]) -> type[T]:
    """The subclass of ``base`` that ``name`` is, as my.py:Mine; its own ``name`` becomes that with the file's hash.

    Raises PosterioriError, one line: where there is no such file or class, the file has changed since ``name`` was
    written, it cannot be run, or the class is no complete one.
    """
    found = _NAME.fullmatch(name)
    assert found
    code = _code(found["file"], found["digits"])
    classes = {key: value for key, value in vars(code.module).items() if _is_own_class(value, code)}
    cls = classes.get(found["cls"])
    if cls is None:
        there = ", ".join(nearest(found["cls"], classes)) or "none"
        raise PosterioriError(f"{code.file} has no class {found['cls']}: it has {there}")
    if not issubclass(cls, base):
        raise PosterioriError(f"{code.file}:{cls.__name__} is not derived from {base.__name__}: derive it")
    _check(cls, f"{code.file}:{cls.__name__}")
    cls.name = f"{code.name}:{cls.__name__}"
    return cls


def code_of(*texts: str) -> list[dict[str, str]]:
    """The path and the sha256 of every file that the ``texts`` of samplers and operators name, for a manifest."""
    named = {f"{found['file']}#{found['digits']}" for text in texts for found in _NAME.finditer(text)}
    read = [_read[name] for name in sorted(named)]
    return [{"file": str(Path(code.file).resolve()), "sha256": code.sha256} for code in read]


def _code(file: str, digits: str | None) -> Code:
    if digits and f"{file}#{digits}" in _read:
        return _read[f"{file}#{digits}"]
    try:
        source = Path(file).read_bytes()
    except OSError as error:
        raise PosterioriError(f"{file} cannot be read ({error.strerror}): give the path of a Python file") from None
    digest = hashlib.sha256(source).hexdigest()
    if digits and digest[:16] != digits:
        raise PosterioriError(
            f"{file} has changed: its sha256 begins with {digest[:16]}, that of the text with {digits}"
        )
    code = Code(file, digest, ModuleType(f"posteriori_own_{digest[:16]}"))
    if code.name not in _read:
        code.module.__file__ = file
        sys.modules[code.module.__name__] = code.module  # in which dataclasses look annotations up
        try:
            exec(compile(source, file, "exec"), vars(code.module))  # the bytes that were hashed, and no cache of others
        except Exception as error:
            raise PosterioriError(f"{file} cannot be run: {said(error)}") from error
        _read[code.name] = code
    return _read[code.name]


def _is_own_class(value: Any, code: Code) -> bool:
    return isinstance(value, type) and value.__module__ == code.module.__name__


def _check(cls: Any, name: str) -> None:
    """PosterioriError where the class is not whole."""
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise PosterioriError(f"{name} has no {', '.join(lacking)}: write it as posteriori's classes do")
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception as error:
        raise PosterioriError(f"the annotations of {name} cannot be read: {said(error)}") from error
    known = {field.name: field for field in fields(cls)}
    for key in get_annotations(cls):
        if get_origin(hints[key]) is ClassVar:
            continue
        if key not in known:
            raise PosterioriError(f"{name} is not a dataclass: write @dataclass(frozen=True) above it")
        default = known[key].default is not MISSING or known[key].default_factory is not MISSING
        meant = get_origin(hints[key]) is Annotated and any(isinstance(mark, str) for mark in get_args(hints[key]))
        if not (meant and default):
            raise PosterioriError(
                f'{name} does not say what {key} is: write {key}: Annotated[float, "its meaning"] = 1.0'
            )


def said(error: Exception) -> str:
    """An error of a user's code, in one line."""
    text = str(error).strip().splitlines()
    return type(error).__name__ + (f": {text[0]}" if text else "")

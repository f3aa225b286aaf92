"""Wrong usage in one line: what was given, what is accepted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import typer


def said(error: typer.TyperException) -> str:
    """The message for an error that typer found on the command line."""
    context: Any = getattr(error, "ctx", None)
    return f"{_said(error)} (see `{context.command_path if context else 'posteriori'} --help`)"


def _said(error: typer.TyperException) -> str:
    param, cause = getattr(error, "param", None), getattr(error.__cause__, "errors", None)
    if param is None or cause is None:  # said by a command, or by typer of a word that it does not know
        return error.format_message().removeprefix("Invalid value: ").removesuffix(".")
    fault = cause()[0]
    _, listed, choices = fault["msg"].partition(" is not one of ")
    wanted = ", ".join(re.findall("'([^']*)'", choices)) if listed else _number(param)
    return f"{max(param.opts, key=len)} is {str(fault['input'])!r}: give {wanted}"


def _number(param: Any) -> str:
    whole = re.search(r"\bint\b", str(param.type_descriptor.annotation))
    ends = "" if param.min is None else f" from {param.min:.9g}"
    if param.max is not None:
        ends += f" to {param.max:.9g}"
    elif ends:
        ends += " up"
    return f"a {'whole number' if whole else 'number'}{ends}"


def empty(arguments: Sequence[str]) -> str | None:
    """The message for an empty argument, such as "$NAME" of a variable that was never set; None if there is none."""
    for before, argument in zip(["posteriori", *arguments], arguments, strict=False):
        if not argument or re.fullmatch(r"--[\w-]+=", argument):
            option = argument.removesuffix("=") or before
            what = option if option.startswith("-") else f"the argument after {option!r}"
            return f"{what} is empty: give a value, or leave it out"
    return None

"""A suite: a TOML file of a prior, pictures, tasks, samplers and the rows that others published."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Le

from posteriori.bounds import check
from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.settings.noise import parse_noise
from posteriori.settings.text import Spec, parse_operator, read_operator, read_sampler

T = TypeVar("T")

_SUITES = resources.files("posteriori.studies.suite").joinpath("suites")
#: a number of pixels at the suite's size
_PIXELS = re.compile(r"\{([\d.]+)\}")
#: bytes of a suite: Python's reader takes seconds for each million
_MOST = 10**6
#: a key of a hundred parts; Python's reader holds the square of their number
_DEEP = re.compile(r"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){100}""")


@dataclass(frozen=True)
class Task:
    """``operator`` is a text in which {61} is 61 pixels at the suite's size; ``noise`` as ``--noise`` has it.

    Of every ``best_of`` samples of a picture, the one with the smallest residual counts. This choice needs no truth.
    """

    name: str
    label: str
    operator: str
    noise: str
    best_of: Annotated[int, Ge(1)] = 1

    @property
    def sigma(self) -> float:
        return parse_noise(self.noise)


@dataclass(frozen=True)
class Entry:
    """A sampler's text, the tasks that it is run ``on`` (none: all that it can do), and the source of its settings.

    A name alone takes the preset for the task. If fields are given, the others are the class's defaults.
    """

    sampler: str
    source: str
    on: tuple[str, ...] = ()

    @property
    def spec(self) -> Spec[Any]:
        return read_sampler(self.sampler)


@dataclass(frozen=True)
class Published:
    """A row of a published table: ``task`` is the suite's name for it, ``method`` the table's."""

    task: str
    method: str
    source: str
    protocol: str
    psnr: Annotated[float | None, Ge(0)] = None
    lpips: Annotated[float | None, Ge(0)] = None
    lpips_vgg: Annotated[float | None, Ge(0)] = None


@dataclass(frozen=True)
class Suite:
    """``size`` is the side of the pictures that the tasks are written for, ``pictures`` how many of them are run."""

    name: str
    about: str
    prior: str
    size: Annotated[int, Ge(1), Le(2**16)]
    pictures: Annotated[int, Ge(1)]
    seeds: Annotated[int, Ge(1)]
    tasks: tuple[Task, ...]
    entries: tuple[Entry, ...]
    published: tuple[Published, ...] = ()

    def operator(self, task: Task, shape: tuple[int, ...]) -> str:
        """The task's operator for pictures of ``shape``. Its pixels are scaled with the side: integers stay integers,
        odd ones odd.
        """

        def scaled(found: re.Match[str]) -> str:
            here = float(found[1]) * shape[-1] / self.size
            if "." in found[1]:
                return f"{here:.4g}"
            return str(max(1, 2 * round((here - 1) / 2) + 1 if int(found[1]) % 2 else round(here)))

        text = _PIXELS.sub(scaled, task.operator)
        parse_operator(text, shape)  # raises if it is invalid
        return text


def names() -> list[str]:
    """The suites in the package."""
    return sorted(entry.name.removesuffix(".toml") for entry in _SUITES.iterdir() if entry.name.endswith(".toml"))


def read(name: str) -> Suite:
    """The suite of this name in the package, or in the TOML file of that path.

    Raises PosterioriError if there is none, or if it is invalid: what it says, and what is accepted.
    """
    found = Path(name) if name.endswith(".toml") else _SUITES.joinpath(f"{name}.toml")
    if not found.is_file():
        raise PosterioriError(f"there is no suite {name!r}: give one of {', '.join(names())}, or a TOML file")
    data = found.read_bytes()
    if len(data) > _MOST:
        raise PosterioriError(f"{name} is {len(data):,} bytes: a suite has at most {_MOST:,}")
    try:
        text = data.decode("utf-8-sig")
        if _DEEP.search(text):
            raise RecursionError
        content = tomllib.loads(text)
    except ValueError as error:  # not TOML, or not UTF-8
        raise PosterioriError(f"{name} is not valid TOML: {first_line(error)}") from None
    except RecursionError:
        raise PosterioriError(f"{name} is nested too deep: a suite has tables of values and of lists") from None
    tables = {"task": Task, "sampler": Entry, "published": Published}
    tasks, entries, published = (
        tuple(_table(cls, row, f"{name}: [[{key}]]") for row in _rows(content.pop(key, []), f"{name}: {key}"))
        for key, cls in tables.items()
    )
    given = content | {"name": Path(name).stem, "tasks": tasks, "entries": entries, "published": published}
    return _checked(_table(Suite, given, name))


def _table(cls: type[T], given: dict[str, Any], where: str) -> T:
    known = [field.name for field in fields(cls)]  # ty: ignore[invalid-argument-type]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise PosterioriError(f"{where} has no field {unknown[0]!r}: it has {', '.join(known)}")
    if "on" in given and not (isinstance(given["on"], list) and all(isinstance(task, str) for task in given["on"])):
        raise PosterioriError(f"{where}: on is {given['on']!r}: give a list of tasks")
    try:
        made = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
    except TypeError:
        lacks = [field.name for field in fields(cls) if field.name not in given]  # ty: ignore[invalid-argument-type]
        raise PosterioriError(f"{where} lacks {lacks[0]}: give {', '.join(known)}") from None
    check(made, where)
    return made


def _rows(given: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise PosterioriError(f"{where} is {given!r}: give it as tables, [[...]]")
    return given


def _checked(suite: Suite) -> Suite:
    tasks = [task.name for task in suite.tasks]
    for name, count in Counter(tasks).items():
        if count > 1:
            raise PosterioriError(f"{suite.name} has {count} tasks {name!r}: give each a name of its own")
    for name in (name for row in (*suite.entries, *suite.published) for name in _on(row)):
        if name not in tasks:
            raise PosterioriError(f"{suite.name} has no task {name!r}: there are {', '.join(tasks)}")
    for task in suite.tasks:
        _ = read_operator(_PIXELS.sub(r"\1", task.operator)), task.sigma
    for entry in suite.entries:
        _ = entry.spec
    return suite


def _on(row: Entry | Published) -> tuple[str, ...]:
    return row.on if isinstance(row, Entry) else (row.task,)

"""Reads the results of suites for comparison: a number for each picture, method and task."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.jobs.store import Files
from posteriori.studies.suite.parquet import RESULTS, need_parquet
from posteriori.studies.wording import counted

#: the metrics that methods are compared by, and whether more of it is better
METRICS = {"psnr": True, "ssim": True, "lpips": False, "lpips_vgg": False, "hole": True}


@dataclass(frozen=True)
class Measured:
    """A method's results on a task: ``values`` (pictures,) in the order of ``Task.pictures``, averaged over seeds.

    They are NaN where it diverged. ``method`` is its full text, ``source`` the name of the results it comes from.
    """

    label: str
    method: str
    source: str
    calls: int
    values: np.ndarray

    @property
    def diverged(self) -> int:
        return int(np.isnan(self.values).sum())


@dataclass(frozen=True)
class Task:
    """A task, the sha256 of each picture that all its methods restored, and the methods."""

    name: str
    operator: str
    sigma: float
    pictures: tuple[str, ...]
    methods: tuple[Measured, ...]


@dataclass(frozen=True)
class Results:
    """``about`` has a line for each of the results, ``notes`` says what was left out."""

    tasks: tuple[Task, ...]
    about: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Read:
    """A file's content for a method on a task."""

    operator: str
    sigma: float
    calls: int
    values: dict[str, list[float]]


def read(places: Sequence[str], metric: str) -> Results:
    """The results in ``places``, folders or URLs of `posteriori bench`.

    A task's pictures are those that all its methods restored. A method's label is its name, with more if that is not
    unique. Raises PosterioriError if there are no results, if two of them define a task differently, if nothing is left
    to compare, or if ``metric`` was not measured.
    """
    need_parquet()
    if metric not in METRICS:
        raise PosterioriError(f"--metric is {metric!r}: give one of {', '.join(METRICS)}")
    names = _names(places)
    found: dict[str, dict[tuple[str, str], _Read]] = defaultdict(dict)
    about = []
    for name, place in zip(names, places, strict=True):
        about.append(_add(name, place, metric, found))
    tasks, notes = [], []
    for task, methods in found.items():
        if len({(own.operator, own.sigma) for own in methods.values()}) > 1:
            raise PosterioriError(f"the results define {task} differently: compare results of one suite and prior")
        of = [set(own.values) for own in methods.values()]
        pictures = tuple(sorted(set.intersection(*of)))
        if len(methods) < 2 or not pictures:
            notes.append(f"{task} is left out: its methods have no picture in common, or it has only one method.")
            continue
        if more := len(set.union(*of)) - len(pictures):
            notes.append(f"{task}: {counted(more, 'picture')} left out that not every method restored.")
        measured = tuple(
            Measured(label, method, source, own.calls, np.array([np.mean(own.values[key]) for key in pictures]))
            for label, ((source, method), own) in zip(_labels(list(methods)), methods.items(), strict=True)
        )
        if all(own.diverged == len(pictures) for own in measured):
            raise PosterioriError(f"{metric} was not measured on {task}: give another --metric")
        first = next(iter(methods.values()))
        tasks.append(Task(task, first.operator, first.sigma, pictures, measured))
    if not tasks:
        raise PosterioriError(f"there is nothing to compare: no task in {', '.join(places)} has two methods")
    return Results(tuple(tasks), tuple(about), tuple(notes))


def _add(name: str, place: str, metric: str, found: dict[str, dict[tuple[str, str], _Read]]) -> str:
    """Adds the results in ``place`` to ``found``, and returns a line about them."""
    import pyarrow.parquet as pq

    files = Files(place)
    try:
        content = files.get(RESULTS)
    except (FileNotFoundError, NotADirectoryError):
        raise PosterioriError(f"{place} has no {RESULTS}: give the finished output of `posteriori bench`") from None
    try:
        table = pq.read_table(io.BytesIO(content))
        columns = {key: table[key].to_pylist() for key in _COLUMNS} | {"value": table[metric].to_pylist()}
    except (ValueError, KeyError, OSError) as error:
        raise PosterioriError(f"{place}/{RESULTS} is not a result of a suite ({first_line(error)})") from None
    for key, values in columns.items():
        kind = _KINDS.get(key, str)
        if not all(isinstance(value, kind) for value in values):
            raise PosterioriError(f"{place}/{RESULTS} is not a result of a suite (its {key} has the wrong type)")
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        if row["counts"]:
            new = _Read(row["operator"], row["sigma"], row["calls"], defaultdict(list))
            own = found[row["task"]].setdefault((name, row["method"]), new)
            own.values[row["sha256"]].append(row["value"])
    of = lambda key: ", ".join(sorted(map(str, set(columns[key]))))  # noqa: E731
    pictures = len(set(columns["sha256"]))
    with_what = f"the prior {of('prior')}, {pictures} pictures, posteriori {of('posteriori')}"
    return f"{name}: the suite {of('suite')} with {with_what}"


#: the types of columns that are not text
_KINDS: dict[str, Any] = {"sigma": float, "calls": int, "counts": bool, "value": float}
_COLUMNS = ("task", "method", "operator", "sigma", "calls", "sha256", "counts", "suite", "prior", "posteriori")


def _names(places: Sequence[str]) -> list[str]:
    """The last part of each place, or as much of it as tells it from the others."""
    parts = [PurePosixPath(place.rstrip("/")).parts for place in places]
    if len(set(parts)) < len(parts):
        raise PosterioriError(f"{', '.join(places)}: give each of the results once")
    depth = 1
    while len({own[-depth:] for own in parts}) < len(parts):
        depth += 1
    return ["/".join(own[-depth:]) for own in parts]


def _labels(methods: Sequence[tuple[str, str]]) -> list[str]:
    """A sampler's name, or its full text if results have the name twice; with the results' name if several are read."""
    short = [(source, text.partition("(")[0]) for source, text in methods]
    several = len({source for source, _ in methods}) > 1
    found = []
    for (source, text), own in zip(methods, short, strict=True):
        name = own[1] if short.count(own) == 1 else text
        found.append(f"{name} [{source}]" if several else name)
    return found

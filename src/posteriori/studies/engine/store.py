"""The results of finished runs, put together from the results of their groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from posteriori.errors import PosterioriError
from posteriori.jobs.progress import seconds_taken
from posteriori.jobs.store import Result as GroupResult
from posteriori.jobs.store import Store
from posteriori.studies.engine.plan import Run
from posteriori.studies.engine.work import METRICS, PREFIXES, joined_pictures, joined_traces

#: a line of JSON for every start, step and end of a group, from any process
LOG = "log.jsonl"


@dataclass(frozen=True)
class Result:
    """A finished run. ``calls`` is the number of network calls of one group, shared by all its rows."""

    run: Run
    groups: tuple[GroupResult, ...]

    @property
    def calls(self) -> int:
        return self.groups[0].values["calls"]

    @cached_property
    def metrics(self) -> dict[str, np.ndarray]:
        """Each of ``METRICS``, (rows,)."""
        found = [arrays(group, "metrics") for group in self.groups]
        return {name: np.concatenate([own[name] for own in found]) for name in METRICS}

    def by_image(self, name: str) -> np.ndarray:
        """A metric, (images, seeds)."""
        return self.metrics[name].reshape(-1, len(self.run.seeds))

    @cached_property
    def trace(self) -> dict[str, np.ndarray]:
        """t (S,), and (S, rows) of everything that was recorded; empty if a row diverged."""
        return joined_traces([arrays(group, "trace") for group in self.groups])

    @cached_property
    def pictures(self) -> dict[str, np.ndarray]:
        """x and y (rows, H, W, 3) and path (F, 2, rows, H, W, 3), uint8; those that were kept."""
        return joined_pictures([arrays(group, "pictures") for group in self.groups])

    @property
    def manifest(self) -> dict[str, Any]:
        """The settings, the environment, the files of the groups, and every row's metrics."""
        labels = [label for label, _ in self.run.images] or [""]
        rows = [
            {"image": labels[i], "seed": seed, **{name: self.metrics[name][k].item() for name in METRICS}}
            for k, (i, seed) in enumerate(self.run.rows)
        ]
        environment = self.groups[0].values["environment"]
        groups = [
            {"file": f"{job.key}.npz", "calls": group.values["calls"]}
            for job, group in zip(self.run.jobs, self.groups, strict=True)
        ]
        return {"settings": self.run.settings, "environment": environment, "groups": groups, "rows": rows}


class Runs:
    """The runs whose groups are in a folder or at a URL, ``where``. ``say`` is told about files that were set aside.

    ``log`` is the file of all events. It is None at a URL, where nothing can be appended to a file.
    """

    def __init__(self, where: str | Path, say: Callable[[str], object] = lambda _: None):
        self.store = Store(where, say)
        self.log = Path(self.store.files.root) / LOG if self.store.files.local else None

    def read(self, run: Run) -> Result:
        """The result of a finished run."""
        found = [group for job in run.jobs if (group := self.store.read(job))]
        if len(found) < len(run.groups):
            raise PosterioriError(f"{run.label} is incomplete in {self.store.files.where}: run the same command again")
        return Result(run, tuple(found))

    def manifests(self, runs: Iterable[Run]) -> dict[str, Any]:
        """The manifests of finished runs, by key."""
        return {run.key: self.read(run).manifest for run in runs}

    def seconds(self, run: Run) -> float:
        """Wall-clock seconds of the run's groups, each as it last finished; NaN if not known."""
        took = seconds_taken(self.log) if self.log else {}
        return sum(took.get(job.key, np.nan) for job in run.jobs)


def arrays(group: GroupResult, kind: str) -> dict[str, np.ndarray]:
    """The arrays of the field ``kind`` of ``work.Group``, by their names there."""
    prefix = f"{PREFIXES[kind]}."
    return {name.removeprefix(prefix): array for name, array in group.arrays.items() if name.startswith(prefix)}

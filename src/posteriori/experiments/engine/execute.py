"""Doing the runs that are not done, in this process or in several."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from posteriori.experiments.engine.plan import Item, Run, distinct
from posteriori.experiments.engine.pool import share
from posteriori.experiments.engine.store import Store
from posteriori.experiments.engine.work import compute
from posteriori.priors.base import Prior
from posteriori.runs.manifest import arithmetic, versions

#: seconds between two lines of the log on a group's network calls
_PULSE = 1.0


@dataclass(frozen=True)
class Loader:
    """How a process gets the prior: its name or path, and where and in what it computes."""

    prior: str
    size: int | None = None
    device: str = "cpu"
    dtype: str = "auto"
    threads: int | None = None

    def __call__(self) -> Prior:
        from posteriori.priors.load import load_prior

        if self.threads:
            torch.set_num_threads(self.threads)
        prior = load_prior(self.prior, device=self.device, dtype=self.dtype)
        return prior.at(self.size) if self.size else prior


class Watcher(Protocol):
    """Told what begins, how far it is in network calls, and what is done; of a group by its run and number."""

    def begin(self, item: Item, i: int) -> None: ...
    def calls(self, item: Item, i: int, calls: int) -> None: ...
    def end(self, item: Item, i: int) -> None: ...


@dataclass(frozen=True)
class Task:
    """A group that is still to be done."""

    item: Item
    i: int


def missing(items: Sequence[Item], store: Store) -> list[Task]:
    """The groups that the store does not have, in the order of the items."""
    tasks = []
    for item in distinct(items):
        done = store.done(item.run)
        tasks += [Task(item, i) for i in range(len(item.run.groups)) if i not in done]
    return tasks


def execute(
    items: Sequence[Item],
    tasks: Sequence[Task],
    pictures: Mapping[str, Tensor],
    loader: Loader,
    store: Store,
    *,
    jobs: int = 1,
    prior: Prior | None = None,
    watch: Watcher,
) -> None:
    """Does ``tasks``, and writes the manifest of every run of ``items``.

    ``pictures`` are (3, H, W) by their sha256. With ``jobs`` > 1 as many processes share the work, each with a prior of
    its own; otherwise ``prior``, or one from ``loader``, does it here.
    """
    left = {item.run.key: len([task for task in tasks if task.item.run.key == item.run.key]) for item in items}
    environment = _environment(loader, prior or loader(), jobs)

    def finished(task: Task) -> None:
        left[task.item.run.key] -= 1
        if not left[task.item.run.key]:
            store.finish(task.item.run, environment)
        watch.end(task.item, task.i)

    for item in distinct(items):
        if not left[item.run.key]:
            store.finish(item.run, environment)  # all its groups were there, perhaps without the manifest
    if jobs == 1:
        prior = prior or loader()
        for task in tasks:
            watch.begin(task.item, task.i)
            tick = lambda calls, task=task: watch.calls(task.item, task.i, calls)  # noqa: E731
            _do(task.item.run, task.i, pictures, prior, store, tick)
            finished(task)
    elif tasks:
        began = lambda task: watch.begin(task.item, task.i)  # noqa: E731
        share(_work, tasks, jobs, _start, (store.folder, pictures, loader), began, finished)


def _environment(loader: Loader, prior: Prior, jobs: int) -> dict[str, Any]:
    threads = {"threads": loader.threads or torch.get_num_threads(), "jobs": jobs}
    return versions() | arithmetic(prior) | threads


def _do(
    run: Run, i: int, pictures: Mapping[str, Tensor], prior: Prior, store: Store, tick: Callable[[int], None]
) -> None:
    rows = run.groups[i]
    truth = torch.stack([pictures[run.images[k][1]] for k, _ in rows]) if run.images else None
    started = logged = time.monotonic()
    store.log(run, i, "begin", 0, 0.0)

    def step(calls: int) -> None:
        nonlocal logged
        tick(calls)
        if (now := time.monotonic()) - logged >= _PULSE:
            logged = now
            store.log(run, i, "calls", calls, now - started)

    group = compute(run, rows, prior, truth, step)
    store.write(run, i, group)
    store.log(run, i, "end", group.calls, time.monotonic() - started)


_worker: dict[str, Any] = {}


def _start(folder: Path, pictures: Mapping[str, Tensor], loader: Loader) -> None:
    _worker.update(pictures=pictures, prior=loader(), store=Store(folder))


def _work(task: Task) -> None:
    _do(task.item.run, task.i, _worker["pictures"], _worker["prior"], _worker["store"], lambda calls: None)

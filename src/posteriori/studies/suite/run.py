"""A suite's runs, and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.jobs.executor import Event
from posteriori.likelihoods import GaussianNoise
from posteriori.metrics.intervals import Estimate
from posteriori.metrics.lpips import network
from posteriori.sampler import Sampler
from posteriori.settings.presets import default_steps, resolve
from posteriori.settings.text import format_spec, parse_operator
from posteriori.studies.engine.campaign import Campaign
from posteriori.studies.engine.plan import Item, Named, Rows, Run
from posteriori.studies.engine.store import arrays
from posteriori.studies.suite.distances import vgg_distances
from posteriori.studies.suite.suite import Entry, Suite, Task

#: the metrics in the tables; LPIPS with VGG if that was asked for
METRICS = ("psnr", "ssim", "lpips", "lpips_vgg", "residual")


@dataclass(frozen=True)
class Cell:
    """A sampler on a task, and its run, which is computed in the ``groups`` of its shards."""

    task: Task
    entry: Entry
    run: Run

    @cached_property
    def groups(self) -> list[Rows]:
        return [job for shard in self.run.shards for job in shard.jobs]


@dataclass(frozen=True)
class Row:
    """The results of a cell: ``metrics``, (rows,) each, with ``lpips_vgg`` if that was measured.

    ``calls`` is the number of network calls of one restoration. ``first`` has x and y (H, W, 3), uint8, of the first
    picture's sample that counts, if they were kept.
    """

    cell: Cell
    metrics: dict[str, np.ndarray]
    calls: int
    first: dict[str, np.ndarray] = field(default_factory=dict)

    def estimate(self, metric: str) -> Estimate:
        return Estimate.of(self.counted(metric))

    def counted(self, metric: str) -> np.ndarray:
        """A metric of the samples that count, (pictures, seeds)."""
        return np.take_along_axis(self._samples(metric), self.chosen, 2)[..., 0]

    @property
    def chosen(self) -> np.ndarray:
        """(pictures, seeds, 1): which of the ``best_of`` samples counts: the one with the smallest residual."""
        return np.nan_to_num(self._samples("residual"), nan=np.inf).argmin(2, keepdims=True)

    def _samples(self, metric: str) -> np.ndarray:
        """A metric of all samples, (pictures, seeds, best_of); NaN if it was not measured."""
        each = self.metrics.get(metric, np.full(len(self.cell.run.rows), np.nan))
        return each.reshape(len(self.cell.run.images), -1, self.cell.task.best_of)

    @property
    def record(self) -> dict[str, Any]:
        """A row of the CSV, with all digits."""
        run, metrics = self.cell.run, {name: self.estimate(name) for name in METRICS}
        each = {f"{name}{end}": getattr(e, at) for name, e in metrics.items() for end, at in _ENDS}
        about = {"task": self.cell.task.name, "operator": run.operator, "sigma": run.sigma, "sampler": run.method}
        counts = {"pictures": len(run.images), "seeds": len(run.seeds), "best_of": self.cell.task.best_of}
        return {**about, **counts, **each, "calls": self.calls}


_ENDS = (("", "mean"), ("_low", "low"), ("_high", "high"))


def cells(
    campaign: Campaign, suite: Suite, pictures: Named, seed: int, steps: int | None, *, keep: bool = True
) -> list[Cell]:
    """Every sampler on every task that it is meant for and can do. ``steps`` replaces its own number of steps.

    Restored pictures are kept, unless ``keep`` is False.

    Raises PosterioriError if a sampler is to run ``on`` a task that it cannot do.
    """
    found = []
    for task in suite.tasks:
        text = suite.operator(task, campaign.prior.shape)
        seeds = range(seed, seed + suite.seeds * task.best_of)
        template = campaign.template(pictures, text, task.sigma, seeds, frames=int(keep))
        for entry in suite.entries:
            if entry.on and task.name not in entry.on:
                continue
            sampler = _settled(entry, text, task.sigma, campaign, steps)
            if _admits(sampler, text, task.sigma, campaign.prior.shape):
                found.append(Cell(task, entry, replace(template, method=format_spec(sampler))))
            elif entry.on:
                raise PosterioriError(
                    f"{suite.name}: {entry.sampler} on {task.name}: it needs {sampler.requires.needs}; "
                    "remove the task from on"
                )
    return found


def done(
    campaign: Campaign, cells: Sequence[Cell], pictures: Mapping[str, Tensor], *, vgg: bool = False
) -> tuple[list[Row], list[Event]]:
    """Computes what is missing, task by task, and returns the rows, with LPIPS of VGG if ``vgg``.

    Also returns the failures of groups that failed every time. A row has the pictures whose groups are all there; a
    cell without any has no row.
    """
    if vgg:
        network(torch.device("cpu"), "vgg")  # raises before any work if weights are missing
    items = [Item(cell.task.name, shard) for cell in cells for shard in cell.run.shards]
    failed = campaign.persist(items, pictures)
    return [row for cell in cells if (row := _row(campaign, cell, pictures if vgg else None))], failed


def _row(campaign: Campaign, cell: Cell, clean: Mapping[str, Tensor] | None) -> Row | None:
    store, calls = campaign.runs.store, 0
    shards, metrics = list[Run](), list[dict[str, np.ndarray]]()
    for shard in cell.run.shards:
        found = [store.read(job) for job in shard.jobs]
        if all(found):
            shards.append(shard)
            metrics += [arrays(group, "metrics") for group in found if group]
            calls = max(group.values["calls"] for group in found if group)
    if not shards:
        return None
    run = replace(cell.run, images=tuple(image for shard in shards for image in shard.images))
    joined = {name: np.concatenate([own[name] for own in metrics]) for name in metrics[0]}
    if clean:
        joined["lpips_vgg"] = vgg_distances([job for shard in shards for job in shard.jobs], clean, store)
    row = Row(replace(cell, run=run), joined, calls * cell.task.best_of)
    k = int(row.chosen.flat[0])
    kept = store.read(shards[0].jobs[k // run.batch])
    pictures = arrays(kept, "pictures") if kept else {}
    return replace(row, first={name: pictures[name][k % run.batch] for name in ("x", "y") if name in pictures})


def best(rows: Sequence[Row], metric: str, largest: bool) -> Row | None:
    """The row with the best mean, of those that have one."""
    there = [row for row in rows if np.isfinite(row.estimate(metric).mean)]
    key = lambda row: row.estimate(metric).mean * (1 if largest else -1)  # noqa: E731
    return max(there, key=key, default=None)


def _settled(entry: Entry, operator: str, sigma: float, campaign: Campaign, steps: int | None) -> Sampler:
    spec = entry.spec
    if spec.fields:
        sampler = spec.build()
        return sampler.with_steps(steps) if steps else sampler
    on = parse_operator(operator, campaign.prior.shape)
    return resolve(spec.cls, on, campaign.prior, steps=steps or default_steps(spec.cls), sigma=sigma).sampler


def _admits(sampler: Sampler, operator: str, sigma: float, shape: tuple[int, ...]) -> bool:
    on = parse_operator(operator, shape)
    return isinstance(GaussianNoise(sigma).likelihood(on(torch.zeros(1, *shape)), on), sampler.requires)

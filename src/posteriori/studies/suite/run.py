"""A suite's runs, and what they gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posteriori.errors import PosterioriError
from posteriori.images.files import load_image
from posteriori.images.picture import BUNDLED
from posteriori.likelihoods import GaussianNoise
from posteriori.metrics.intervals import Estimate
from posteriori.metrics.lpips import network
from posteriori.sampler import Sampler
from posteriori.settings.presets import default_steps, resolve
from posteriori.settings.text import format_spec, parse_operator
from posteriori.studies.engine.campaign import Campaign
from posteriori.studies.engine.plan import Item, Pictures, Run
from posteriori.studies.engine.store import Result
from posteriori.studies.pictures import by_hash, held_out, joined
from posteriori.studies.suite.distances import vgg_distances
from posteriori.studies.suite.suite import Entry, Suite, Task

#: what the tables have of a restoration; with VGG where that was asked for
METRICS = ("psnr", "ssim", "lpips", "lpips_vgg", "residual")


@dataclass(frozen=True)
class Cell:
    """A sampler on a task, and the run that it is."""

    task: Task
    entry: Entry
    run: Run


@dataclass(frozen=True)
class Row:
    """What a cell gave; ``lpips_vgg``, (rows,), where that was measured."""

    cell: Cell
    result: Result
    lpips_vgg: np.ndarray | None = None

    def estimate(self, metric: str) -> Estimate:
        return Estimate.of(self.counted(metric))

    def counted(self, metric: str) -> np.ndarray:
        """(pictures, seeds) of a metric: of the samples that count."""
        return np.take_along_axis(self._samples(metric), self._chosen, 2)[..., 0]

    @property
    def first(self) -> dict[str, np.ndarray]:
        """x and y (H, W, 3), uint8, of the first picture's first sample that counts; nothing where it diverged."""
        k = int(self._chosen.flat[0])
        groups = (self.result.groups[k // self.cell.run.batch],)
        kept = replace(self.result, groups=groups).pictures
        return {name: kept[name][k % self.cell.run.batch] for name in kept}

    @property
    def _chosen(self) -> np.ndarray:
        return np.nan_to_num(self._samples("residual"), nan=np.inf).argmin(2, keepdims=True)

    def _samples(self, metric: str) -> np.ndarray:
        """(pictures, seeds, best_of) of a metric."""
        if metric == "lpips_vgg":
            each = np.full(len(self.cell.run.rows), np.nan) if self.lpips_vgg is None else self.lpips_vgg
        else:
            each = self.result.metrics[metric]
        return each.reshape(len(self.cell.run.images), -1, self.cell.task.best_of)

    @property
    def calls(self) -> int:
        """Network calls that restore a picture once."""
        return self.result.calls * self.cell.task.best_of

    @property
    def record(self) -> dict[str, Any]:
        """Every digit, for a CSV."""
        run, metrics = self.cell.run, {name: self.estimate(name) for name in METRICS}
        each = {f"{name}{end}": getattr(e, at) for name, e in metrics.items() for end, at in _ENDS}
        about = {"task": self.cell.task.name, "operator": run.operator, "sigma": run.sigma, "sampler": run.method}
        counts = {"pictures": len(run.images), "seeds": len(run.seeds), "best_of": self.cell.task.best_of}
        return {**about, **counts, **each, "calls": self.calls}


_ENDS = (("", "mean"), ("_low", "low"), ("_high", "high"))


def load_pictures(sources: Sequence[str], size: int, n: int) -> Pictures:
    """The first ``n`` pictures of ``sources``, folders, zips, files or bundled names, at ``size`` pixels.

    PosterioriError as ``studies.pictures`` has it, and where none is given.
    """
    if not sources:
        raise PosterioriError(f"there are no pictures: give a folder, a zip, files, or {', '.join(BUNDLED)}")
    found: list[Pictures] = []
    for source in sources:
        left = n - sum(map(len, found))
        if left > 0 and (Path(source).is_dir() or Path(source).suffix == ".zip"):
            found.append(held_out(Path(source), "", size, left))
        elif left > 0:
            found.append(Pictures((Path(source).stem,), load_image(source, size=size)))
    return joined(*found)


def cells(campaign: Campaign, suite: Suite, pictures: Pictures, seed: int, steps: int | None) -> list[Cell]:
    """Every sampler on every task that it is meant for and admits; ``steps`` takes the place of its own.

    PosterioriError where a sampler is to run ``on`` a task that it does not admit.
    """
    found = []
    for task in suite.tasks:
        text = suite.operator(task, campaign.prior.shape)
        seeds = range(seed, seed + suite.seeds * task.best_of)
        template = campaign.template(pictures, text, task.sigma, seeds, frames=1)
        for entry in suite.entries:
            if entry.on and task.name not in entry.on:
                continue
            sampler = _settled(entry, text, task.sigma, campaign, steps)
            if _admits(sampler, text, task.sigma, campaign.prior.shape):
                found.append(Cell(task, entry, replace(template, method=format_spec(sampler))))
            elif entry.on:
                raise PosterioriError(
                    f"{suite.name}: {entry.sampler} on {task.name}: it needs {sampler.requires.needs}; take it from on"
                )
    return found


def done(campaign: Campaign, cells: Sequence[Cell], pictures: Pictures, *, vgg: bool = False) -> list[Row]:
    """Does what is missing, a part of the work for each task, and reads all of it; with LPIPS of ``vgg`` if asked."""
    clean = by_hash(pictures)
    if vgg:
        network(torch.device("cpu"), "vgg")  # which says what is missing before any work
    campaign.do([Item(cell.task.name, cell.run) for cell in cells], clean)
    rows = [Row(cell, campaign.read(cell.run)) for cell in cells]
    if not vgg:
        return rows
    distances = vgg_distances([cell.run for cell in cells], clean, campaign.runs.store)
    return [replace(row, lpips_vgg=own) for row, own in zip(rows, distances, strict=True)]


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

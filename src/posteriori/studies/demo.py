"""The demo: the report's experiment on one image, several methods on the same measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from posteriori.images.files import to_tensor
from posteriori.sampler import Sampler
from posteriori.samplers import DPS, ScoreALD, SDEdit
from posteriori.settings.presets import DEFAULT_STEPS, default_steps, resolve
from posteriori.settings.text import format_spec, parse_sampler
from posteriori.studies.engine.campaign import Campaign
from posteriori.studies.engine.plan import MEASUREMENT, Item, Pictures, Run
from posteriori.studies.pictures import by_hash
from posteriori.studies.report.plan import samples, single_pass
from posteriori.studies.tasks import SIGMA_Y, T_DENOISE, Task, tasks

#: the methods of the report
METHODS: tuple[type[Sampler], ...] = (SDEdit, ScoreALD, DPS)


@dataclass(frozen=True)
class Row:
    """One line of the table. ``nfe`` counts network calls, ``seconds`` is wall time."""

    method: str
    task: str
    psnr: float | None
    ssim: float | None
    lpips: float | None
    nfe: int
    seconds: float | None


@dataclass
class TaskResult:
    """A task's pictures: the measurement and each method's reconstruction, (1, 3, H, W)."""

    task: Task
    rows: list[Row] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)


@dataclass
class Demo:
    """What the experiment produced: ``steps`` is the most of any sampler, ``settings`` are by task and method."""

    truth: Tensor
    steps: int
    tasks: list[TaskResult]
    noised: Tensor
    denoised: Tensor
    unconditional: Tensor
    other_rows: list[Row]
    settings: dict[str, dict[str, Any]]

    @property
    def rows(self) -> list[Row]:
        return [row for result in self.tasks for row in result.rows] + self.other_rows


def run_demo(
    campaign: Campaign,
    truth: Pictures,
    *,
    methods: Sequence[type[Sampler]] = METHODS,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
) -> Demo:
    """Runs the experiment on the single picture ``truth`` with ``steps`` of the schedule's T levels.

    A method whose paper takes fewer steps uses the paper's number. Every run is kept in the campaign's folder.
    ``campaign.say`` gets what runs next, and a warning for settings that were not tuned. Raises FloatingPointError if a
    sampler diverged.
    """
    settings, items, prior = {}, list[Item](), campaign.prior
    several = tasks(prior.shape)
    for task in several:
        template = campaign.template(truth, format_spec(task.operator), SIGMA_Y, (seed,), frames=1)
        items.append(Item(task.label, replace(template, method=MEASUREMENT)))
        for method in methods:
            resolved = resolve(method, task.operator, prior, steps=default_steps(method, steps), sigma=SIGMA_Y)
            if resolved.warning:
                campaign.say(resolved.warning)
            text = format_spec(resolved.sampler)
            settings[f"{task.name}/{method.name}"] = {"sampler": text, "sources": resolved.sources}
            items.append(Item(task.label, replace(template, method=text)))
    template = campaign.template(truth, "", SIGMA_Y, (seed,))
    baseline, alone = single_pass(template), samples(template, steps, 1, first=seed)
    items += [Item("single-pass denoising", baseline), Item("unconditional sample", alone)]
    campaign.do(items, by_hash(truth))
    names, results = (MEASUREMENT, *(method.name for method in methods)), []
    for task in several:
        runs = [item.run for item in items if item.part == task.label]
        rows = [_row(campaign, name, task.name, run) for name, run in zip(names, runs, strict=True)]
        pictures = [_pixels(campaign, run, "y" if run.method == MEASUREMENT else "x") for run in runs]
        results.append(TaskResult(task, rows, pictures))
    noised, denoised = (to_tensor(pixels[0]) for pixels in campaign.read(baseline).pictures["path"][0])
    other = [
        _row(campaign, "single-pass", f"denoising, t = {T_DENOISE}", baseline),
        _row(campaign, "ddim", "unconditional sample", alone),
    ]
    return Demo(truth.x, steps, results, noised, denoised, _pixels(campaign, alone, "x"), other, settings)


def _row(campaign: Campaign, method: str, task: str, run: Run) -> Row:
    found, seconds = campaign.read(run), 0.0 if run.method == MEASUREMENT else campaign.runs.seconds(run)
    psnr, ssim, lpips = (_known(found.metrics[name][0]) for name in ("psnr", "ssim", "lpips"))
    return Row(method, task, psnr, ssim, lpips, found.calls, _known(np.float64(round(seconds, 3))))


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else value.item()


def _pixels(campaign: Campaign, run: Run, name: str) -> Tensor:
    """(1, 3, H, W)."""
    pictures = campaign.read(run).pictures
    if name not in pictures:
        raise FloatingPointError(f"{run.label} reached NaN or infinity: {parse_sampler(run.method).advice()}")
    return to_tensor(pictures[name][0])

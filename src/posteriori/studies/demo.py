"""The demo: the report's experiment on one image: several methods on the same measurements."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from posteriori.kernels import forward
from posteriori.likelihoods import Flat, Likelihood, noise_model
from posteriori.loop import sample
from posteriori.metrics import lpips, psnr, ssim
from posteriori.observers import CountedPrior
from posteriori.priors.base import Prior
from posteriori.rng import Purpose, Rng, image_key
from posteriori.sampler import Sampler
from posteriori.samplers import DDIM, DPS, ScoreALD, SDEdit
from posteriori.settings.presets import DEFAULT_STEPS, default_steps, resolve
from posteriori.settings.text import format_spec
from posteriori.studies.tasks import SIGMA_Y, T_DENOISE, Task, tasks

#: the report's three
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
    seconds: float


@dataclass
class TaskResult:
    """A task's pictures: the measurement and each method's reconstruction, (1, 3, H, W)."""

    task: Task
    y: Tensor
    rows: list[Row] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)


@dataclass
class Demo:
    """Everything the experiment made; ``steps`` are at most, ``settings`` the resolved samplers by task and method."""

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
    prior: Prior,
    truth: Tensor,
    *,
    methods: Sequence[type[Sampler]] = METHODS,
    steps: int = DEFAULT_STEPS,
    seed: int = 0,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Demo:
    """Runs the experiment on ``truth``, (1, 3, H, W) on [-1, 1], with ``steps`` of the schedule's T levels.

    A method whose paper takes fewer has the paper's.

    ``say`` is told what runs next and which settings no measurement chose.
    """
    results, settings = [], {}
    for task in tasks(prior.shape):
        like = noise_model(SIGMA_Y).simulate(truth, task.operator, seed=seed)
        y, result = like.y, TaskResult(task, like.y)
        result.rows.append(_score("measurement", task.name, y, truth, 0, 0.0))
        result.pictures.append(y)
        for method in methods:
            resolved = resolve(method, task.operator, prior, steps=default_steps(method, steps), sigma=SIGMA_Y)
            if resolved.warning:
                say(resolved.warning)
            say(f"{task.label}: {method.__name__}")
            settings[f"{task.name}/{method.name}"] = {
                "sampler": format_spec(resolved.sampler),
                "sources": resolved.sources,
            }
            x, nfe, seconds = _timed(prior, like, resolved.sampler, seed, progress)
            result.rows.append(_score(method.name, task.name, x, truth, nfe, seconds))
            result.pictures.append(x)
        results.append(result)
    say(f"single-pass denoising at t = {T_DENOISE}")
    noised, denoised, denoise_row = single_pass(prior, truth, seed=seed)
    say("one unconditional sample")
    ddim = DDIM().with_steps(steps)
    x, nfe, seconds = _timed(prior, Flat(1, prior.shape), ddim, seed, progress)
    other = [denoise_row, Row("ddim", "unconditional sample", None, None, None, nfe, seconds)]
    return Demo(truth, steps, results, noised, denoised, x, other, settings)


def single_pass(prior: Prior, truth: Tensor, *, seed: int = 0) -> tuple[Tensor, Tensor, Row]:
    """The report's baseline: (x_t at t = 100, its Tweedie estimate, the row)."""
    level = prior.schedule.level(T_DENOISE)
    rng = Rng(seed, [image_key(row) for row in truth], purpose=Purpose.MEASUREMENT, device=prior.device)
    x_t = forward(truth, level, rng.normal(prior.shape))
    started = time.perf_counter()
    with torch.no_grad():
        x0 = prior.denoise(x_t, level).x0
    row = _score("single-pass", f"denoising, t = {T_DENOISE}", x0, truth, 1, time.perf_counter() - started)
    return x_t, x0, row


def _timed(prior: Prior, like: Likelihood, sampler: Sampler, seed: int, progress: bool):
    counted = CountedPrior(prior)
    started = time.perf_counter()
    x = sample(counted, like, sampler, seed=seed, progress=progress)[:, 0]
    return x, counted.calls, time.perf_counter() - started


def _score(method: str, task: str, x: Tensor, truth: Tensor, nfe: int, seconds: float) -> Row:
    figures = {name: float(metric(x, truth)) for name, metric in (("psnr", psnr), ("ssim", ssim), ("lpips", lpips))}
    return replace(Row(method, task, None, None, None, nfe, seconds), **figures)

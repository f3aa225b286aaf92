"""How well a prior denoises pictures that it has not seen."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.images.pixels import from_bytes
from posteriori.jobs.executor import Report, Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.key import Job
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Result, Store
from posteriori.kernels import forward
from posteriori.metrics import psnr
from posteriori.priors.base import Prior
from posteriori.restore.checks import denoiser_shift
from posteriori.rng import Purpose, Rng, image_key
from posteriori.schedule import Level, Schedule
from posteriori.studies.engine.plan import pixel_hash
from posteriori.studies.evaluation.result import Denoising, Mean
from posteriori.studies.tasks import T_DENOISE
from posteriori.training.data import Dataset
from posteriori.training.evaluate import SIGMAS

#: x_0 from x_t, (1, 3, H, W), at a level
Denoiser = Callable[[Tensor, Level], Tensor]
#: besides denoising, a picture is asked how far the denoiser moves it
SHIFT = "shift"


def noise_levels(schedule: Schedule) -> dict[str, Level]:
    """The report's t = 100, if the schedule has it, and x_0 + sigma n at the noise levels that training reports."""
    levels = [schedule.level(T_DENOISE)] if schedule.end >= T_DENOISE else []
    named = {f"t = {T_DENOISE} (sigma {level.sigma_bar:.3g})": level for level in levels}
    return named | {f"sigma {sigma:g}": schedule.at_noise(sigma) for sigma in SIGMAS}


def network_call(prior: Prior) -> Denoiser:
    """E[x_0 | x_t] by one call, at the picture's own size."""

    @torch.no_grad()
    def denoise(x_t: Tensor, level: Level) -> Tensor:
        shape = tuple(x_t.shape[1:])
        sized = prior if shape == prior.shape else prior.at((shape[1], shape[2]))
        return sized.denoise(x_t.to(prior.device), level).x0.cpu()

    return denoise


def bm3d() -> Denoiser:
    """BM3D in colour (Dabov et al. 2007), given the noise level. PosterioriError if the package is not installed."""
    try:
        bm3d_rgb = importlib.import_module("bm3d").bm3d_rgb  # no dependency, so type checkers do not know it
    except ImportError:
        raise PosterioriError(
            "--bm3d needs the package bm3d, free for non-commercial use: `pip install bm3d`, or leave --bm3d out"
        ) from None

    def denoise(x_t: Tensor, level: Level) -> Tensor:
        y = (x_t[0].permute(1, 2, 0).double().numpy() / level.alpha + 1) / 2
        return torch.from_numpy(bm3d_rgb(y, level.sigma_bar / 2)).permute(2, 0, 1)[None].float() * 2 - 1

    return denoise


@dataclass(frozen=True)
class Asked(Job):
    """One measurement on a picture: ``what`` is a denoiser's name or ``SHIFT``; ``prior`` and ``pixels`` are sha256."""

    what: str
    prior: str
    device: str
    dtype: str
    name: str
    pixels: str
    seed: int

    @property
    def label(self) -> str:
        return f"{self.what} on {self.name}"


@dataclass(frozen=True)
class About:
    """What decides a result besides the picture: the prior's sha256, its arithmetic, and the seed."""

    prior: str
    device: str
    dtype: str
    seed: int

    def asked(self, what: str, images: Dataset) -> list[Asked]:
        """The job of every picture."""
        return [
            Asked(what, self.prior, self.device, self.dtype, name, pixel_hash(pixels), self.seed)
            for name, pixels in zip(images.names, images.pixels, strict=True)
        ]


def denoising(
    denoisers: Mapping[str, Denoiser],
    levels: Mapping[str, Level],
    images: Dataset,
    store: Store,
    about: About,
    report: Report = lambda _: None,
) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR (dB) by denoiser, level and picture. Results that ``store`` has are read from there.

    All denoisers see the same noise, which depends on the seed and the picture alone.
    """
    pictures = dict(zip(images.names, images.pixels, strict=True))

    def work(job: Asked, tick: Tick) -> Result:
        x_0, denoise = from_bytes(pictures[job.name])[None], denoisers[job.what]
        noise = Rng(job.seed, [image_key(x_0)], purpose=Purpose.MEASUREMENT).normal(x_0.shape[1:])
        noisy = {label: forward(x_0, level, noise) for label, level in levels.items()}
        return Result({label: psnr(denoise(x_t, levels[label]), x_0).item() for label, x_t in noisy.items()})

    jobs = {who: about.asked(who, images) for who in denoisers}
    side_by_side = [job for each in zip(*jobs.values(), strict=True) for job in each]
    run(missing(side_by_side, store), work, store, Serial(), report)
    found = {who: [(job.name, _read(store, job)) for job in own] for who, own in jobs.items()}
    return {who: {label: {name: own[label] for name, own in each} for label in levels} for who, each in found.items()}


def shifts(
    prior: Prior, images: Dataset, store: Store, about: About, report: Report = lambda _: None
) -> dict[str, float]:
    """``checks.denoiser_shift`` of each picture by name, at its own size; as in ``denoising``."""
    pictures = dict(zip(images.names, images.pixels, strict=True))

    def work(job: Asked, tick: Tick) -> Result:
        x_0 = from_bytes(pictures[job.name])[None]
        return Result({SHIFT: denoiser_shift(prior.at((x_0.shape[-2], x_0.shape[-1])), x_0).item()})

    jobs = about.asked(SHIFT, images)
    run(missing(jobs, store), work, store, Serial(), report)
    return {job.name: _read(store, job)[SHIFT] for job in jobs}


def _read(store: Store, job: Asked) -> dict[str, float]:
    found = store.read(job)
    if found is None:
        raise PosterioriError(f"{job.label} is not in {store.files.where}: run the same command again")
    return found.values


def psnr_table(
    psnrs: dict[str, dict[str, dict[str, float]]],
    levels: Mapping[str, Level],
    denoisers: list[str],
    names: list[str],
) -> list[Denoising]:
    """One row per level of ``denoising``'s results on the pictures ``names``. The first denoiser is the network."""
    rows = []
    for level in levels:
        ours, *theirs = ([psnrs[who][level][name] for name in names] for who in denoisers)
        bm3d = Mean.of(theirs[0]) if theirs else None
        gain = Mean.of([a - b for a, b in zip(ours, theirs[0], strict=True)]) if theirs else None
        rows.append(Denoising(level, Mean.of(ours), bm3d, gain))
    return rows

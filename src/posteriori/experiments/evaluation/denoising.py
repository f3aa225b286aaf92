"""How well a prior denoises pictures that it has not seen."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from posteriori.experiments.evaluation.data import floats
from posteriori.experiments.evaluation.result import Denoising, Mean
from posteriori.experiments.tasks import T_DENOISE
from posteriori.files import write_json
from posteriori.kernels import forward
from posteriori.metrics import psnr
from posteriori.priors.base import Prior
from posteriori.priors.folder import read_json
from posteriori.rng import Purpose, Rng, image_key
from posteriori.runs.checks import denoiser_shift
from posteriori.schedule import Level, Schedule
from posteriori.training.data import Images
from posteriori.training.evaluate import SIGMAS

#: x_0 from x_t, (1, 3, H, W), at a level
Denoiser = Callable[[Tensor, Level], Tensor]
Tick = Callable[[int], None]


def noise_levels(schedule: Schedule) -> dict[str, Level]:
    """The report's t = 100, where there is such a time, and x_0 + sigma n at the noise levels that training reports."""
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
    """BM3D in colour (Dabov et al. 2007), told the noise. ValueError where the package is not installed."""
    try:
        bm3d_rgb = importlib.import_module("bm3d").bm3d_rgb  # no dependency, so that no type checker knows it
    except ImportError:
        raise ValueError(
            "--bm3d needs the package bm3d, free for non-commercial use: `pip install bm3d`, or leave --bm3d out"
        ) from None

    def denoise(x_t: Tensor, level: Level) -> Tensor:
        y = (x_t[0].permute(1, 2, 0).double().numpy() / level.alpha + 1) / 2
        return torch.from_numpy(bm3d_rgb(y, level.sigma_bar / 2)).permute(2, 0, 1)[None].float() * 2 - 1

    return denoise


def denoising(
    denoisers: Mapping[str, Denoiser],
    levels: Mapping[str, Level],
    images: Images,
    log: Path,
    *,
    seed: int,
    tick: Tick,
) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR (dB) by denoiser, level and picture; what ``log`` knows already is taken from there.

    All denoisers see the same noise, which depends on ``seed`` and the picture alone.
    """
    figures = read_json(log) if log.is_file() else {}
    for name, pixels in zip(images.names, images.pixels, strict=True):
        x_0 = floats(pixels)[None]
        noise = Rng(seed, [image_key(x_0)], purpose=Purpose.MEASUREMENT).normal(x_0.shape[1:])
        for (label, level), (who, denoise) in product(levels.items(), denoisers.items()):
            known = figures.setdefault(who, {}).setdefault(label, {})
            if name not in known:
                known[name] = psnr(denoise(forward(x_0, level, noise), level), x_0).item()
            tick(1)
        write_json(figures, log)
    return figures


def shifts(prior: Prior, images: Images, log: Path, *, tick: Tick) -> list[float]:
    """``checks.denoiser_shift`` of each picture, at its own size; what ``log`` knows already is taken from there."""
    found = read_json(log) if log.is_file() else {}
    for name, pixels in zip(images.names, images.pixels, strict=True):
        if name not in found:
            x_0 = floats(pixels)[None]
            found[name] = denoiser_shift(prior.at((x_0.shape[-2], x_0.shape[-1])), x_0).item()
        tick(1)
    write_json(found, log)
    return [found[name] for name in images.names]


def psnr_table(
    figures: dict[str, dict[str, dict[str, float]]],
    levels: Mapping[str, Level],
    denoisers: list[str],
    names: list[str],
) -> list[Denoising]:
    """A row a level of ``figures``, of the pictures ``names``; the first of ``denoisers`` is the network."""
    rows = []
    for level in levels:
        ours, *theirs = ([figures[who][level][name] for name in names] for who in denoisers)
        bm3d = Mean.of(theirs[0]) if theirs else None
        gain = Mean.of([a - b for a, b in zip(ours, theirs[0], strict=True)]) if theirs else None
        rows.append(Denoising(level, Mean.of(ours), bm3d, gain))
    return rows

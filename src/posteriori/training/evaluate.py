"""How good a prior is while it trains: held-out denoising by noise level, and sheets of samples."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import Tensor

from posteriori.figures import sheet
from posteriori.likelihood import Flat
from posteriori.metrics import psnr
from posteriori.prior import Prior
from posteriori.priors.unet import UNetPrior, auto_dtype
from posteriori.rng import Purpose, Rng
from posteriori.sampler import sample
from posteriori.samplers import DDIM
from posteriori.schedule import Level
from posteriori.training.loop import Trainer

#: noise levels of the held-out figures, on [-1, 1] (x = x_0 + sigma n)
SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0)


def ema_prior(trainer: Trainer) -> UNetPrior:
    """The moving average so far, as a frozen prior; the trainer's own stays as it is."""
    config = trainer.config
    return UNetPrior(
        copy.deepcopy(trainer.ema),
        trainer.schedule,
        (3, config.size, config.size),
        prediction=config.prediction,
        dtype=auto_dtype(trainer.device),
        device=trainer.device,
    )


@torch.no_grad()
def denoising_psnr(prior: Prior, images: Tensor, *, seed: int = 0, batch: int = 32) -> dict[float, float]:
    """Mean PSNR (dB) of one network call at each of ``SIGMAS``; ``images`` is (N, 3, H, W) on [-1, 1]."""
    result = {}
    for sigma in SIGMAS:
        level = Level(prior.schedule.time(sigma), 1.0, sigma)
        total = 0.0
        for i in range(0, len(images), batch):
            x_0 = images[i : i + batch].to(prior.device)
            rng = Rng(seed, range(i, i + len(x_0)), purpose=Purpose.MEASUREMENT, device=prior.device)
            x0 = prior.denoise(x_0 + sigma * rng.normal(x_0.shape[1:]), level).x0
            total += float(psnr(x0, x_0).sum())
        result[sigma] = total / len(images)
    return result


def sample_sheet(prior: Prior, path: Path, *, n: int = 16, steps: int = 100, seed: int = 0) -> None:
    """Writes a sheet of ``n`` unconditional samples of ``steps`` DDPM steps: the same noise every time."""
    sampler = DDIM(steps=steps)
    sheet(sample(prior, Flat(n, prior.shape), sampler, seed=seed, batch=16, progress=False)[:, 0].cpu(), path)

"""How good a prior is while it trains: held-out denoising by noise level, and sheets of samples."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from posteriori.images.sheets import sheet
from posteriori.likelihoods import Flat
from posteriori.loop import sample
from posteriori.metrics import psnr
from posteriori.priors.base import Prior
from posteriori.priors.unet import UNetPrior
from posteriori.rng import Purpose, Rng
from posteriori.samplers import DDIM
from posteriori.training.loop import Trainer

#: noise levels of the held-out PSNR, on [-1, 1] (x = x_0 + sigma n)
SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0)


def ema_prior(trainer: Trainer) -> Prior:
    """A copy of the moving average so far, as a frozen prior."""
    config = trainer.config
    return UNetPrior(
        copy.deepcopy(trainer.ema),
        trainer.schedule,
        (3, config.size, config.size),
        prediction=config.prediction,
        dtype=trainer.dtype,
        device=trainer.device,
    )


@torch.no_grad()
def denoising_psnr(prior: Prior, images: Iterable[Tensor], *, seed: int = 0) -> dict[float, float]:
    """Mean PSNR (dB) of one network call at each of ``SIGMAS``; ``images`` are (3, H, W) on [-1, 1]."""
    values = {sigma: [] for sigma in SIGMAS}
    for i, image in enumerate(images):
        x_0 = image[None].to(prior.device)
        resized = prior.at((x_0.shape[-2], x_0.shape[-1]))
        for sigma in SIGMAS:
            n = Rng(seed, [i], purpose=Purpose.MEASUREMENT, device=prior.device).normal(x_0.shape[1:])
            x0 = resized.denoise(x_0 + sigma * n, prior.schedule.at_noise(sigma)).x0
            values[sigma].append(psnr(x0, x_0).item())
    return {sigma: fmean(decibels) for sigma, decibels in values.items()}


def sample_sheet(prior: Prior, path: Path, *, n: int = 16, steps: int = 100, seed: int = 0) -> None:
    """Writes a sheet of ``n`` unconditional samples in ``steps`` DDPM steps, with the same noise every time."""
    sampler = DDIM(steps=steps)
    sheet(sample(prior, Flat(n, prior.shape), sampler, seed=seed, batch=16, progress=False)[:, 0].cpu(), path)

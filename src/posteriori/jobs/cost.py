"""How long jobs take, before they start."""

from __future__ import annotations

import time

import torch

from posteriori.likelihoods import Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler
from posteriori.schedule import Level


@torch.no_grad()
def seconds_of_a_step(sampler: Sampler, prior: Prior, like: Likelihood, n: int = 1) -> float:
    """For the rows of ``like``, ``n`` for each measurement; the second of two, since the first warms up."""
    rng = Rng(0, range(len(like) // n), n, device=prior.device)
    first, second = sampler.path(prior.schedule)[:2]
    state = sampler.init(first, prior, like, rng, n)
    took = 0.0
    for _ in range(2):
        started = time.perf_counter()
        sampler.step(state, second, prior, like, rng).x.cpu()  # which waits for a GPU
        took = time.perf_counter() - started
    return took


@torch.no_grad()
def seconds_of_a_call(prior: Prior, level: Level) -> float:
    """Of the denoiser for one image; the second of two, since the first warms up."""
    x_t, took = torch.zeros(1, *prior.shape, device=prior.device), 0.0
    for _ in range(2):
        started = time.perf_counter()
        prior.denoise(x_t, level).x0.cpu()  # which waits for a GPU
        took = time.perf_counter() - started
    return took

"""Weighted particles: what the samplers share that draw a measurement's n samples together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from posteriori.rng import Rng


class Resampled(NamedTuple):
    """``rows`` (B,) says which row each row is from now on, ``log_w`` (B,) with what weight; ``ess`` (B,) as it was."""

    rows: Tensor
    log_w: Tensor
    ess: Tensor


def resample(log_w: Tensor, n: int, rng: Rng, *, last: bool) -> Resampled:
    """Particles in proportion to their weights, which are then equal, where fewer than n / 2 are effective.

    ``log_w`` is (B,), the n particles of a measurement side by side; only differences within a measurement count.
    At the ``last`` step every measurement's particles are resampled, so that samples need no weights, and begin at a
    random one of them, so that each sample alone has their law.
    """
    grouped = log_w.unflatten(0, (-1, n))
    ess = effective_size(grouped)
    due = (ess < n / 2)[:, None] | last
    own = torch.arange(n, device=log_w.device)
    chosen = torch.where(due, systematic(grouped, rng.resampling.uniform()), own)
    if last:  # systematic resampling keeps the order, and its first sample alone would not have the particles' law
        start = (n * rng.resampling.uniform()).long()[:, None]
        chosen = chosen.gather(1, (start + own) % n)
    first = n * torch.arange(len(grouped), device=log_w.device)[:, None]
    left = torch.where(due, 0.0, grouped.log_softmax(1))
    return Resampled((first + chosen).flatten(), left.flatten(), ess.repeat_interleave(n))


def effective_size(log_w: Tensor) -> Tensor:
    """1 / sum_k w_k^2 of normalised weights, (N, n) -> (N,), from 1 to n: Liu and Chen 1995."""
    return 1 / log_w.softmax(1).square().sum(1)


def systematic(log_w: Tensor, u: Tensor) -> Tensor:
    """n indices for each measurement, (N, n), rising: k comes floor(n w_k) or ceil(n w_k) times, n w_k in the mean.

    ``u``, (N,), is one number of [0, 1) for each: the points (i + u) / n, i = 0..n-1, in the cumulated weights
    (Carpenter et al. 1999, "Improved particle filter for nonlinear problems"). Equal weights change nothing.
    """
    n = log_w.shape[1]
    points = (torch.arange(n, device=log_w.device) + u.to(log_w.dtype)[:, None]) / n
    return torch.searchsorted(log_w.softmax(1).cumsum(1), points, right=True).clamp(max=n - 1)

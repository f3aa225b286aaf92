"""Weighted particles: for samplers that draw a measurement's n samples together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from posteriori.rng import Rng


class Resampled(NamedTuple):
    """``rows`` (B,): the row that replaces each; ``log_w`` (B,): new weights; ``ess`` (B,): effective size before."""

    rows: Tensor
    log_w: Tensor
    ess: Tensor


def resample(log_w: Tensor, n: int, rng: Rng, *, last: bool) -> Resampled:
    """Resamples the particles of a measurement if fewer than n / 2 are effective; their weights are then equal.

    ``log_w`` is (B,), with the n particles of a measurement side by side. Only differences within a measurement count.

    At the ``last`` step the particles of every measurement are resampled, so that samples need no weights. They start
    at a random particle, so that each sample alone has their law.
    """
    grouped = log_w.unflatten(0, (-1, n))
    ess = effective_size(grouped)
    due = (ess < n / 2)[:, None] | last
    own = torch.arange(n, device=log_w.device)
    chosen = torch.where(due, systematic(grouped, rng.resampling.uniform()), own)
    if last:  # systematic resampling is ordered: without the shift, the first sample would not have the particles' law
        start = (n * rng.resampling.uniform()).long()[:, None]
        chosen = chosen.gather(1, (start + own) % n)
    first = n * torch.arange(len(grouped), device=log_w.device)[:, None]
    left = torch.where(due, 0.0, grouped.log_softmax(1))
    return Resampled((first + chosen).flatten(), left.flatten(), ess.repeat_interleave(n))


def effective_size(log_w: Tensor) -> Tensor:
    """1 / sum_k w_k^2 of normalised weights, (N, n) -> (N,), from 1 to n: Liu and Chen 1995."""
    return 1 / log_w.softmax(1).square().sum(1)


def systematic(log_w: Tensor, u: Tensor) -> Tensor:
    """n indices for each measurement, (N, n), rising. k appears floor(n w_k) or ceil(n w_k) times, n w_k on average.

    ``u``, (N,), is one number in [0, 1) for each: the points (i + u) / n, i = 0..n-1, in the cumulative weights
    (Carpenter et al. 1999, "Improved particle filter for nonlinear problems"). With equal weights nothing changes.
    """
    n = log_w.shape[1]
    points = (torch.arange(n, device=log_w.device) + u.to(log_w.dtype)[:, None]) / n
    return torch.searchsorted(log_w.softmax(1).cumsum(1), points, right=True).clamp(max=n - 1)

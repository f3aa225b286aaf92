"""Statistics of how far samples are from a distribution."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sliced_wasserstein(x: Tensor, y: Tensor, slices: int, rng: torch.Generator) -> float:
    """The mean over random directions of the 1-Wasserstein distance between projections of x and y, (n, d) each.

    Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures", with |.| instead of its
    square, as in the code of Cardoso et al. 2024.
    """
    directions = torch.randn(x.shape[1], slices, generator=rng, dtype=torch.float64)
    directions = directions / directions.norm(dim=0)
    # numpy sorts contiguous rows many times as fast as torch
    a, b = (np.sort((directions.T @ points.double().T).numpy()) for points in (x, y))
    return float(np.abs(a - b).mean())


def ranks(x: Tensor, truth: Tensor) -> Tensor:
    """How many of the n samples x (P, n, ...) lie below the truth (P, ...): 0 to n, uniform for exact samples."""
    return (x < truth[:, None]).sum(1)


def coverage(ranks: Tensor, n: int, level: float) -> float:
    """The share of truths inside the central interval of n samples; ``level`` if the samples are exact.

    The interval runs from the k-th smallest sample to the k-th largest with k = (1 - level) (n + 1) / 2, rounded.
    """
    k = round((1 - level) * (n + 1) / 2)
    return ((ranks >= k) & (ranks <= n - k)).double().mean().item()


def uniformity(counts: Tensor) -> float:
    """The p-value of Pearson's chi-square test that ``counts`` (bins,) are of a uniform distribution."""
    expected = counts.sum() / len(counts)
    square = ((counts - expected).square() / expected).sum().double()
    return torch.special.gammaincc(torch.tensor((len(counts) - 1) / 2, dtype=torch.float64), square / 2).item()

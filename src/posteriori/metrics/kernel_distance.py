"""How far apart two sets of pictures are, as samples of two distributions: KID on AlexNet features.

The kernel and the estimator are those of Binkowski et al. 2018, "Demystifying MMD GANs". They use Inception features.
Here the features are those of the AlexNet that comes with LPIPS, so that distances can be compared with one another,
but not with published ones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.metrics.intervals import bootstrap
from posteriori.metrics.lpips import SMALLEST, network

_BATCH = 64


@torch.no_grad()
def pooled_features(images: Tensor) -> Tensor:
    """The last convolution of AlexNet for ``images``, rectified and averaged over each picture: (N, 256) float64.

    ``images`` is (N, 3, H, W) on [-1, 1], at least 31 pixels a side, PosterioriError otherwise. The features depend on
    the size in pixels: compare only at one size.
    """
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < SMALLEST or not images.is_floating_point():
        raise PosterioriError(
            f"got {tuple(images.shape)} {images.dtype}: give floating-point pictures on [-1, 1], (N, 3, H, W), "
            f"at least {SMALLEST} pixels a side"
        )
    net = network(images.device)
    return torch.cat([net.maps(batch)[-1].mean((2, 3)).double() for batch in images.split(_BATCH)])


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """The squared maximum mean discrepancy of the features ``x`` (M, d) and ``y`` (N, d), without bias.

    Binkowski et al. 2018, eq. 4, with the kernel of section 4, k(a, b) = (a.b / d + 1)^3. It is a U-statistic: 0 on
    average if both come from one distribution, and so sometimes negative. PosterioriError for fewer than 2 rows.
    ``pooled_features`` computes features.
    """
    kernels = _kernels(x, y)
    return _discrepancy(*kernels, torch.ones(1, len(x)).double(), torch.ones(1, len(y)).double()).item()


def kernel_distance_interval(x: Tensor, y: Tensor, *, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """The 95% bootstrap interval of ``kernel_distance``: its 2.5% and 97.5% quantiles over ``draws`` resamplings.

    Rows of ``x`` and of ``y`` are drawn with replacement. A row is never compared with a copy of itself, which would be
    a bias that the statistic does not have. Resamplings of a single row have no pairs, and do not count. If the
    distributions agree, the interval is about 1.7 times too wide, since the statistic is then degenerate (Arcones and
    Gine 1992).
    """
    kernels = _kernels(x, y)

    def distance(u: np.ndarray, v: np.ndarray, axis: int) -> np.ndarray:
        return _discrepancy(*kernels, _counts(u), _counts(v)).numpy()

    return bootstrap((np.arange(len(x)), np.arange(len(y))), distance, draws=draws, seed=seed)


def _kernels(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """k for all pairs within x, within y (no row with itself) and between them."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise PosterioriError(
            f"got {tuple(x.shape)} and {tuple(y.shape)}: give (M, d) and (N, d), at least 2 rows each"
        )
    x, y = x.double().cpu(), y.double().cpu()
    within_x, within_y, between = ((a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    return within_x.fill_diagonal_(0), within_y.fill_diagonal_(0), between


def _discrepancy(within_x: Tensor, within_y: Tensor, between: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Eq. 4 with rows of x counted ``u`` (B, M) times and rows of y ``v`` (B, N) times: (B,)."""
    cross = ((u @ between) * v).sum(1) / (u.sum(1) * v.sum(1))
    return _mean_of_pairs(within_x, u) + _mean_of_pairs(within_y, v) - 2 * cross


def _mean_of_pairs(within: Tensor, counts: Tensor) -> Tensor:
    pairs = counts.sum(1).square() - counts.square().sum(1)
    return ((counts @ within) * counts).sum(1) / pairs


def _counts(drawn: np.ndarray) -> Tensor:
    """How often each of n rows is among the n that were drawn, for every resampling: (draws, n)."""
    rows = torch.from_numpy(np.atleast_2d(drawn))
    return torch.zeros(rows.shape, dtype=torch.float64).scatter_add_(1, rows, torch.ones(rows.shape).double())

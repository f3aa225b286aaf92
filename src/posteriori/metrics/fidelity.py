"""PSNR and SSIM, and the check that every image metric starts with."""

from __future__ import annotations

import torch
from torch import Tensor

from posteriori.errors import PosterioriError


def pair(a: Tensor, b: Tensor, smallest: int) -> tuple[Tensor, Tensor]:
    """``a`` and ``b`` as float32 clamped to [-1, 1].

    Raises PosterioriError unless both are floating point, (B, 3, H, W), of one shape, B >= 1 and H, W >= ``smallest``.
    """
    shape = tuple(a.shape)
    good = len(shape) == 4 and shape[0] > 0 and shape[1] == 3 and min(shape[2:]) >= smallest
    if not good or b.shape != a.shape or not (a.is_floating_point() and b.is_floating_point()):
        raise PosterioriError(
            f"got {shape} {a.dtype} and {tuple(b.shape)} {b.dtype}: give two floating-point tensors on [-1, 1] "
            f"of one shape (B, 3, H, W), at least one image and {smallest} pixels a side"
        )
    return a.float().clamp(-1, 1), b.float().clamp(-1, 1)


@torch.no_grad()
def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of two (B, 3, H, W) batches on [-1, 1], in dB, (B,); infinite where they agree.

    Both are clamped to [-1, 1] first, as they would be in a picture: bring images on another range to it, those on
    [0, 1] as 2 x - 1.
    """
    a, b = pair(a, b, smallest=1)
    return 10 * torch.log10(4 / (a - b).square().mean((1, 2, 3)))


@torch.no_grad()
def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of two (B, 3, H, W) batches on [-1, 1], at least 11 pixels a side.

    (B,), at most 1: Gaussian window of sigma 1.5 and 11 pixels, mean over the windows that lie inside the
    image and over channels. As in published results, black is zero: SSIM depends on the images' offset.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # takes seconds to import

    a, b = pair(a, b, smallest=11)
    _, full = structural_similarity_index_measure(
        a + 1, b + 1, data_range=2.0, reduction="none", return_full_image=True
    )
    # Its own mean includes windows over a mirrored border or not, depending on the version.
    return full[..., 5:-5, 5:-5].mean((1, 2, 3))

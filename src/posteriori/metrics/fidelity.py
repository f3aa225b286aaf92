"""PSNR and SSIM, and the check that every image metric starts with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
def psnr(a: Tensor, b: Tensor, within: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio of two (B, 3, H, W) batches on [-1, 1], in dB, (B,); infinite if they are equal.

    ``within``, (3, H, W) bool, has the entries that count, by default all. Both batches are first clamped to [-1, 1],
    as in a picture. Images on [0, 1] must be converted first, by 2 x - 1. Raises PosterioriError if shapes differ or
    are others, and for numbers that are not floating-point.
    """
    a, b = pair(a, b, smallest=1)
    error = (a - b).square()
    return 10 * torch.log10(4 / (error.mean((1, 2, 3)) if within is None else error[:, within].mean(1)))


@torch.no_grad()
def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of two (B, 3, H, W) batches on [-1, 1], 11 pixels a side or more: Wang et al. 2004, eq. 13.

    (B,), at most 1. Gaussian window of sigma 1.5 and 11 pixels; mean over the windows inside the image and over
    channels. Black is zero, as in published results: SSIM depends on the offset of the images. Raises PosterioriError
    as ``psnr``.
    """
    a, b = ((x.double() + 1) / 2 for x in pair(a, b, smallest=11))  # variances are small differences

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))

    window = torch.exp(-torch.arange(-5, 6, device=a.device).double().square() / (2 * 1.5**2))
    window = window / window.sum()
    x, y = a.flatten(0, 1)[:, None], b.flatten(0, 1)[:, None]
    m_x, m_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - m_x**2, blur(y * y) - m_y**2, blur(x * y) - m_x * m_y
    c_1, c_2 = 0.01**2, 0.03**2
    each = (2 * m_x * m_y + c_1) * (2 * cov + c_2) / ((m_x**2 + m_y**2 + c_1) * (var_x + var_y + c_2))
    return each.view(len(a), -1).mean(1).float()

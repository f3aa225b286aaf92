"""Classical methods, tuned for each picture with the truth known: the baseline that a prior must beat.

Denoising: the better of total variation (Chambolle 2004) and non-local means (Buades et al. 2005). Deconvolution:
Wiener with a 1/f^2 prior (the Laplacian). Super-resolution: total variation, then bicubic enlargement. Inpainting:
non-local means, then Telea 2004. All are from scikit-image and OpenCV. Without the truth they cannot be tuned so well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import cv2
import numpy as np
import torch
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, wiener
from torch import Tensor

from posteriori.images.pixels import from_bytes, to_bytes
from posteriori.metrics import psnr
from posteriori.operators import BoxMask, Downsample, GaussianBlur, Identity
from posteriori.operators.base import Operator

#: pixels (H, W, 3) on [-1, 1]
Pixels = np.ndarray


def classical(operator: Operator, y: Tensor, truth: Tensor, sigma: float) -> np.ndarray:
    """PSNR (dB) of the best tuned classical restoration of each measurement, (N,)."""
    best = []
    for own, x in zip(y, truth, strict=True):
        measured = own.permute(1, 2, 0).double().numpy()
        tried = (Tensor(found.copy()).permute(2, 0, 1)[None] for found in _restorations(operator, measured, sigma))
        best.append(max(psnr(found.float(), x[None]).item() for found in tried))
    return np.array(best)


def _restorations(operator: Operator, y: Pixels, sigma: float) -> Iterable[Pixels]:
    if isinstance(operator, Identity):
        yield from _denoised(y, sigma)
    elif isinstance(operator, GaussianBlur):
        kernel = np.outer(operator.kernel, operator.kernel)
        for balance in np.geomspace(1e-4, 10, 16):
            yield np.stack([wiener(channel, kernel, balance, clip=False) for channel in np.moveaxis(y, 2, 0)], 2)
    elif isinstance(operator, Downsample):
        for smoothed in _each(partial(denoise_tv_chambolle, channel_axis=2), _weights(sigma), y):
            side = operator.shape[-1], operator.shape[-2]
            yield cv2.resize(smoothed, side, interpolation=cv2.INTER_CUBIC)
    elif isinstance(operator, BoxMask):
        hidden = (~operator.keep[0]).numpy().astype(np.uint8)
        for smoothed in [y, *_non_local(y, sigma)]:
            pixels = to_bytes(torch.from_numpy(smoothed)).numpy()
            filled = from_bytes(torch.from_numpy(cv2.inpaint(pixels, hidden, 3, cv2.INPAINT_TELEA))).numpy()
            yield np.where(hidden[..., None], filled, smoothed)
    else:
        raise ValueError(f"no classical method is known here for {operator.name}")


def _denoised(y: Pixels, sigma: float) -> Iterable[Pixels]:
    yield from _each(partial(denoise_tv_chambolle, channel_axis=2), _weights(sigma), y)
    yield from _non_local(y, sigma)


def _non_local(y: Pixels, sigma: float) -> Iterable[Pixels]:
    for strength in (0.4, 0.6, 0.8, 1.0, 1.3):
        yield denoise_nl_means(y, 5, 6, h=strength * sigma, sigma=sigma, channel_axis=2)


def _weights(sigma: float) -> Sequence[float]:
    return (sigma * np.geomspace(0.1, 3, 12)).tolist()


def _each(method: Callable[..., Pixels], weights: Iterable[float], y: Pixels) -> Iterable[Pixels]:
    return (method(y, weight=weight) for weight in weights)

"""Estimates the noise of a picture from the picture alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import chdtri
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.settings.noise import of_255

#: sigma on [-1, 1] of rounding to 8 bits; no file has less noise
ROUNDING = 2 / 255 / 12**0.5
#: the most patches that a covariance is computed from
MOST = 20_000
#: pixels a side of the smallest picture
SMALLEST = 32
#: the least sigma on [-1, 1] that counts as grain: 1 of 255
FAINT = 2 / 255
#: detail that grows by more than this from half the resolution to a quarter is texture
TEXTURE = 1.6
#: detail in flat places that is less ``even`` than this is texture
EVEN = 0.75
#: detail in flat places that is more ``directed`` than this is texture
DIRECTED = 0.15
#: the effective number of independent pixels of a block's 64, for filtered white noise: 2 E^2 / Var of its energy
INDEPENDENT = 52
#: the least number of blocks
FEWEST = 30
#: the share of blocks that count as flat, the share in which direction is measured, and groups by brightness
FLAT, QUIET, BRIGHTNESSES = 0.1, 0.25, 12


@dataclass(frozen=True)
class FoundNoise:
    """Sigmas on [-1, 1]: ``white`` of white noise, ``grain`` of luminance at half the resolution, ``coarse`` at 1/4.

    At half the resolution white noise has half its sigma. Cameras interpolate colours and smooth, so their noise is
    weak at the highest frequencies, where white noise is estimated, and several times stronger below.
    """

    white: float
    grain: float
    coarse: float
    #: the 5th percentile of the grain's variance over places, relative to its 10th: 0.93 for noise alone
    even: float
    #: how much neighbouring 4 x 4 pixels in flat places agree in the direction of their detail: 0 for noise
    directed: float

    @property
    def grainy(self) -> bool:
        """Whether flat places have eight times white noise's level at half the resolution: camera noise or texture."""
        return self.grain > max(4 * self.white, FAINT)

    @property
    def textured(self) -> bool:
        """Whether the detail in flat places is, or may be, texture of the picture and not noise. Three tests decide.

        Texture grows at coarser scales and camera noise hardly does: from half the resolution to a quarter it grows by
        at most 1.45 times in the CC15 pictures, and twice in two clean ones. Noise is alike in all flat places and
        texture is not: ``even`` is at least 0.79 in 25 pictures with camera noise, and 0.64 to 0.72 in four clean ones.
        Texture has a direction and noise has none: ``directed`` is at most 0.14 in the 25, and a quarter in the median
        of 112 clean pictures that pass the other two tests. A picture too small for the tests counts as textured.
        """
        return not 0 < self.coarse < TEXTURE * self.grain or self.even < EVEN or self.directed > DIRECTED

    @property
    def correlated(self) -> bool:
        """Whether it is camera noise and not white noise."""
        return self.grainy and not self.textured

    @property
    def doubt(self) -> str:
        """What is left in the picture, although it may be noise; else empty."""
        if not self.grainy or self.correlated:
            return ""
        grain = of_255(self.grain)
        return f"grain of {grain} is taken for texture: restore --noise {grain} removes it"

    @property
    def sigma(self) -> float:
        """The level for a denoiser."""
        return self.grain if self.correlated else max(self.white, ROUNDING)


def find_noise(x: Tensor, name: str = "the picture") -> FoundNoise:
    """The noise of a picture ``x``, (1, C, H, W) on [-1, 1]. PosterioriError where a side is below 32 pixels."""
    height, width = x.shape[-2:]
    if min(height, width) < SMALLEST:
        raise PosterioriError(
            f"{name} has {width} x {height} pixels, too few to estimate its noise ({SMALLEST} a side are needed): "
            "give it, like --noise 5/255"
        )
    white, grey = white_level(x), len(_channels(x)) == 1
    luminance = (x[:, :1] if grey else x.sum(1, keepdim=True) / x.shape[1] ** 0.5).double()
    if grey:  # patches of one channel have few dimensions, which texture can fill
        white = min(white, _flattest(luminance).each ** 0.5)
    half, quarter = (_flattest(F.avg_pool2d(luminance, n)) for n in (2, 4))
    return FoundNoise(white, half.level, quarter.level, half.even, _directed(luminance.float()))


def white_level(x: Tensor) -> float:
    """sigma of white noise, the same in all channels, in ``x`` (1, C, H, W).

    Patches of a clean picture lie near a subspace, so that the smallest eigenvalues of the patches' covariance are
    those of the noise alone: sigma^2, scattered because there are finitely many patches. The largest eigenvalues are
    dropped one by one until the mean of the rest is their median, as it is for noise alone (Chen, Zhu and Heng 2015,
    "An Efficient Statistical Method for Image Noise Level Estimation", algorithm 1). Texture is not taken for noise
    unless it fills all dimensions. Equal channels count once.
    """
    eigenvalues, _ = np.linalg.eigh(_covariance(_patches(_channels(x))))
    return float(_noise_variance(eigenvalues)) ** 0.5


class _Blocks(NamedTuple):
    """The detail that a binomial filter of 3 x 3 removes, and ``energy``, its variance over blocks of 8 x 8.

    ``energy`` is scaled to the variance of white noise. ``alike`` has the indices of the blocks in each of 12 groups by
    brightness.
    """

    detail: Tensor
    energy: np.ndarray
    alike: list[np.ndarray]

    @classmethod
    def of(cls, x: Tensor) -> _Blocks:
        taps = x.new_tensor([1, 2, 1]) / 4
        kernel = (taps[:, None] * taps)[None, None]
        detail = x - F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel)
        left = 1 - 2 * kernel.max() + kernel.square().sum()  # of the variance of white noise
        energy, brightness = (F.avg_pool2d(own, 8).flatten().numpy() for own in (detail.square() / left, x))
        groups = min(BRIGHTNESSES, max(1, len(energy) // 40))
        return cls(detail, energy, np.array_split(np.argsort(brightness), groups))


class _Flattest(NamedTuple):
    """Variances of white noise that explain the flattest places: ``each`` by brightness, ``whole`` over all blocks.

    Infinite if there are too few blocks. ``even`` is as in ``FoundNoise``.
    """

    each: float
    whole: float
    even: float

    @property
    def level(self) -> float:
        """sigma; at most 1.5 times that of the whole picture, in case texture is nearly everywhere. 0 if infinite."""
        return 0.0 if math.isinf(self.each) else min(self.each, 1.5**2 * self.whole) ** 0.5


def _flattest(x: Tensor) -> _Flattest:
    """Those of the luminance ``x`` (1, 1, H, W), or of its means over 2 x 2 or 4 x 4 pixels.

    The luminance is the sum of channels over sqrt(C), which keeps the scale of white noise. Nothing hides noise, so it
    is at most the detail of the flattest places: the tenth percentile of the variance over blocks of 8 x 8, divided by
    that of noise alone. It is taken in each of 12 groups by brightness, since noise depends on brightness, and the
    median is the result. Below 30 blocks there is none.
    """
    blocks = _Blocks.of(x)
    energy = blocks.energy
    if len(energy) < FEWEST:
        return _Flattest(math.inf, math.inf, 0.0)
    noise = chdtri(INDEPENDENT, 1 - FLAT) / INDEPENDENT
    groups = [energy[places] for places in blocks.alike]
    flat, flatter = (np.array([np.quantile(group, share) for group in groups]) for share in (FLAT, FLAT / 2))
    even = np.median(flatter / flat.clip(np.finfo(float).tiny))
    return _Flattest(float(np.median(flat) / noise), float(np.quantile(energy, FLAT) / noise), float(even))


def _directed(x: Tensor) -> float:
    """The correlation of the directions of detail in the four quarters of a block, over the flattest blocks of ``x``.

    The differences p and q along the two diagonals are the detail's gradient. (p + iq)^2 has twice its angle, so that
    opposite gradients have the same direction (the structure tensor: Bigun and Granlund 1987). For noise that is alike
    along rows and columns its mean is 0, and so is that of products of two quarters, if the noise is correlated over
    less than 4 pixels. The value for white noise is 0.05. An edge, a hair or a wave goes on in the next quarter.
    """
    detail, energy, alike = _Blocks.of(x)
    p, q = detail[..., 1:, 1:] - detail[..., :-1, :-1], detail[..., 1:, :-1] - detail[..., :-1, 1:]
    turned = torch.cat([p.square() - q.square(), 2 * p * q, p.square() + q.square()], 1)
    quarters = F.avg_pool2d(F.pad(turned, (0, 1, 0, 1)), 4).double()
    directions, strength = quarters[:, :2], F.avg_pool2d(quarters[:, 2], 2).square()
    whole, each = F.avg_pool2d(directions, 2).square(), F.avg_pool2d(directions.square(), 2)
    shared, own = ((part.sum(1) / strength).flatten().numpy() for part in ((4 * whole - each) / 3, each))
    flat = np.concatenate([places[energy[places] <= np.quantile(energy[places], QUIET)] for places in alike])
    flat = flat[np.isfinite(own[flat])]
    return float(shared[flat].sum() / own[flat].sum()) if len(flat) else 0.0


def _channels(x: Tensor) -> np.ndarray:
    pixels = x[0].numpy()
    return pixels[:1] if (pixels == pixels[:1]).all() else pixels


def _patches(pixels: np.ndarray) -> np.ndarray:
    """Patches of ``pixels`` (C, H, W), (n, C side^2); smaller ones in small pictures, for enough of them."""
    side = 8 if min(pixels.shape[1:]) >= 128 else 5
    step = max(1, int((pixels[0].size / MOST) ** 0.5))
    views = sliding_window_view(pixels, (side, side), axis=(1, 2))[:, ::step, ::step]
    return np.moveaxis(views, 0, 2).reshape(-1, len(pixels) * side * side)


def _covariance(patches: np.ndarray) -> np.ndarray:
    centred = patches - patches.mean(0)
    return (centred.T @ centred).astype(float) / len(centred)


def _noise_variance(eigenvalues: np.ndarray) -> np.floating:
    """The mean of the largest number of smallest ``eigenvalues`` (ascending) that is at most their median."""
    means = np.cumsum(eigenvalues) / np.arange(1, len(eigenvalues) + 1)
    kept = next(n for n in range(len(eigenvalues), 0, -1) if means[n - 1] <= np.median(eigenvalues[:n]))
    return np.maximum(means[kept - 1], 0)

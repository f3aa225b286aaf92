"""How much noise a picture has, from the picture alone."""

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

#: sigma on [-1, 1] of rounding to 8 bits, below which no file's noise is
ROUNDING = 2 / 255 / 12**0.5
#: patches that a covariance is taken of, at most
MOST = 20_000
#: pixels a side of the smallest picture
SMALLEST = 32
#: sigma on [-1, 1] from which there is grain: 1 of 255
FAINT = 2 / 255
#: what grows more than so from half the resolution to a quarter is texture
TEXTURE = 1.6
#: what is less ``even`` over flat places is texture
EVEN = 0.75
#: of which more than so runs on in flat places is texture
DIRECTED = 0.15
#: of 64 filtered pixels of white noise in a block, as many as have its energy's spread: 2 E^2 / Var
INDEPENDENT = 52
#: blocks that are needed
FEWEST = 30
#: the share of blocks that are taken for flat, that in which direction is looked for, and brightnesses, each apart
FLAT, QUIET, BRIGHTNESSES = 0.1, 0.25, 12


@dataclass(frozen=True)
class FoundNoise:
    """Sigmas on [-1, 1]: ``white`` of white noise, ``grain`` of luminance at half the resolution, ``coarse`` at 1/4.

    White noise has half its sigma there. Cameras interpolate their colours and smooth, so that their noise is weak at
    the highest frequencies, which estimates of white noise look at, and several times stronger below.
    """

    white: float
    grain: float
    coarse: float
    #: the 5th percentile of the grain's variance over places, of its 10th: 0.93 of noise alone
    even: float
    #: how much of the direction of detail in flat places is shared by neighbouring 4 x 4 pixels: 0 of noise
    directed: float

    @property
    def grainy(self) -> bool:
        """Whether flat places have eight times as much at half the resolution as white noise: a camera's, or texture"""
        return self.grain > max(4 * self.white, FAINT)

    @property
    def textured(self) -> bool:
        """Whether what flat places have is, or may be, the picture's own.

        Texture grows with coarseness and a camera's noise hardly does: at a quarter of the resolution at most 1.45
        times as much is found in the CC15 pictures, and twice as much in two clean ones. Noise is alike in all flat
        places, at least 0.79 ``even`` in 25 pictures with a camera's, and texture differs: four clean ones have 0.64 to
        0.72. Texture runs on and noise has no direction: at most 0.14 of it is ``directed`` in the 25, and a quarter in
        the median of 112 clean pictures that pass the other two. A picture too small to look at them is textured.
        """
        return not 0 < self.coarse < TEXTURE * self.grain or self.even < EVEN or self.directed > DIRECTED

    @property
    def correlated(self) -> bool:
        """Whether it is a camera's rather than white."""
        return self.grainy and not self.textured

    @property
    def doubt(self) -> str:
        """What is left in the picture, though it may be noise."""
        if not self.grainy or self.correlated:
            return ""
        grain = f"{127.5 * self.grain:.2g}/255"
        return f"grain of {grain} is taken for texture: restore --noise {grain} removes it"

    @property
    def sigma(self) -> float:
        """What a denoiser is to be told."""
        return self.grain if self.correlated else max(self.white, ROUNDING)


def find_noise(x: Tensor, name: str = "the picture") -> FoundNoise:
    """The noise of a picture ``x``, (1, C, H, W) on [-1, 1]. PosterioriError where a side is below 32 pixels."""
    height, width = x.shape[-2:]
    if min(height, width) < SMALLEST:
        raise PosterioriError(
            f"{name} has {width} x {height} pixels, and noise can be told from {SMALLEST} a side: "
            "say it, like --noise 5/255"
        )
    white, grey = white_level(x), len(_channels(x)) == 1
    luminance = (x[:, :1] if grey else x.sum(1, keepdim=True) / x.shape[1] ** 0.5).double()
    if grey:  # whose patches have few dimensions, which texture fills
        white = min(white, _flattest(luminance).each ** 0.5)
    half, quarter = (_flattest(F.avg_pool2d(luminance, n)) for n in (2, 4))
    return FoundNoise(white, half.level, quarter.level, half.even, _directed(luminance.float()))


def white_level(x: Tensor) -> float:
    """sigma of white noise, the same in all channels, in ``x`` (1, C, H, W).

    Patches of a clean picture lie near a subspace, so that the smallest eigenvalues of the patches' covariance are
    those of the noise alone: sigma^2, scattered by the finite number of patches. The largest eigenvalues are dropped
    one by one until the mean of the rest is their median, as it is for noise alone (Chen, Zhu and Heng 2015, "An
    Efficient Statistical Method for Image Noise Level Estimation", algorithm 1). Texture is not taken for noise unless
    it fills all dimensions. Equal channels count once.
    """
    eigenvalues, _ = np.linalg.eigh(_covariance(_patches(_channels(x))))
    return float(_noise_variance(eigenvalues)) ** 0.5


class _Blocks(NamedTuple):
    """What a binomial filter of 3 x 3 takes away, and over blocks of 8 x 8 its variance, that of white noise being 1.

    ``alike`` are the blocks of each of 12 brightnesses.
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
    """Variances of white noise that leave the flattest places what they have: by brightness, and of all alike.

    Infinite where there is too little to look at. ``even`` as in ``FoundNoise``.
    """

    each: float
    whole: float
    even: float

    @property
    def level(self) -> float:
        """sigma; at most 1.5 times that of the whole picture, where texture is nearly everywhere. 0 if infinite."""
        return 0.0 if math.isinf(self.each) else min(self.each, 1.5**2 * self.whole) ** 0.5


def _flattest(x: Tensor) -> _Flattest:
    """Of the luminance ``x`` (1, 1, H, W), sums of channels over sqrt(C), which have the scale of white noise.

    Of means over 2 x 2 pixels, or 4 x 4, too, what a binomial filter of 3 x 3 takes away. Nothing hides noise, so that
    it is at most what the flattest places have: the tenth percentile over blocks of 8 x 8, over that of noise alone.
    It is taken at each of 12 brightnesses, for noise depends on them, and the median is the result. Below 30 blocks
    there is none.
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
    """The correlation of the directions of detail in the four quarters of a block, over the flattest, of ``x``.

    The differences p and q along the two diagonals are the detail's gradient, and (p + iq)^2 has twice its angle, so
    that opposite gradients are of one direction (the structure tensor: Bigun and Granlund 1987). Noise that is alike
    in the rows and columns has a mean of 0, and so have products of two quarters, as far as noise reaches less than 4
    pixels: it is 0.05 of white noise. An edge, a hair or a wave runs on.
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
    """Patches of ``pixels`` (C, H, W), (n, C side^2); smaller ones where there are few, for their covariance's sake."""
    side = 8 if min(pixels.shape[1:]) >= 128 else 5
    step = max(1, int((pixels[0].size / MOST) ** 0.5))
    views = sliding_window_view(pixels, (side, side), axis=(1, 2))[:, ::step, ::step]
    return np.moveaxis(views, 0, 2).reshape(-1, len(pixels) * side * side)


def _covariance(patches: np.ndarray) -> np.ndarray:
    centred = patches - patches.mean(0)
    return (centred.T @ centred).astype(float) / len(centred)


def _noise_variance(eigenvalues: np.ndarray) -> np.floating:
    """The mean of the most of the smallest, ascending, that have it as their median."""
    means = np.cumsum(eigenvalues) / np.arange(1, len(eigenvalues) + 1)
    kept = next(n for n in range(len(eigenvalues), 0, -1) if means[n - 1] <= np.median(eigenvalues[:n]))
    return np.maximum(means[kept - 1], 0)

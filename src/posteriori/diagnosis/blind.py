"""Estimates the blur of a picture if only its kind is known: the width of a Gaussian, or any kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter
from torch import Tensor

from posteriori.diagnosis.kernel import ROUNDS, find_kernel, gradient
from posteriori.diagnosis.noise import white_level
from posteriori.diagnosis.spectrum import gaussian_width
from posteriori.errors import PosterioriError

#: the largest side of the part that is used, in pixels
PART = 512
#: the default side of a kernel's window
WINDOW = 35
#: the windows in which a kernel is estimated, as shares of the largest
WINDOWS = (1.0, 0.7, 0.5)
#: the picture's sides are at least so many windows
ROOM = 3
#: above this agreement a kernel is likely to be right, if the luminance's noise on [-1, 1] is below this: stronger
#: noise smooths the kernels of all windows alike
SURE, CLEAR = 0.9, 0.05


@dataclass(frozen=True)
class FoundWidth:
    """The std of a Gaussian blur in pixels, and the least and the largest of the picture's four quarters."""

    sigma: float
    least: float
    largest: float


@dataclass(frozen=True)
class FoundKernel:
    """A kernel (side, side) that sums to one, its likeness to those of the other windows, 0 to 1, and y's noise."""

    k: np.ndarray
    agreement: float
    noise: float

    @property
    def sure(self) -> bool:
        """Whether it is likely to be right."""
        return self.agreement > SURE and self.noise < CLEAR


def find_width(x: Tensor) -> FoundWidth:
    """The width of the Gaussian blur of the picture ``x``, (1, C, H, W) on [-1, 1]."""
    y = busiest(luminance(x), PART)
    quarters = [gaussian_width(own) for half in np.array_split(y, 2) for own in np.array_split(half, 2, axis=1)]
    return FoundWidth(gaussian_width(y), min(quarters), max(quarters))


#: ticks of ``find_any``
TICKS = len(WINDOWS) * ROUNDS


def find_any(x: Tensor, side: int | None, name: str, tick: Callable[[], object] = lambda: None) -> FoundKernel:
    """Any kernel of the picture ``x``, (1, C, H, W) on [-1, 1], in a window of ``side`` pixels; ``name`` is for errors.

    It is estimated in three windows. A wrong estimate spreads over whatever window it has; a right one is the same in
    all. The result is from one of the two larger windows, the one that is more like the others: the smallest window may
    cut the kernel. Raises PosterioriError if the window is too large for the picture.
    """
    side, shorter = side or WINDOW, min(x.shape[-2:])
    if ROOM * side > shorter:
        raise PosterioriError(
            f"{name} is {x.shape[-1]} x {x.shape[-2]} pixels, too few to find a kernel in a window of {side}: "
            f"give kernel=auto:SIDE, an odd number of pixels up to {(shorter // ROOM - 1) // 2 * 2 + 1}"
        )
    y, noise = busiest(luminance(x), PART), white_level(x.mean(1, keepdim=True))
    kernels = [find_kernel(y, int(side * share) // 2 * 2 + 1, noise / 2, tick) for share in WINDOWS]
    alike = np.array([[likeness(a, b) for b in kernels] for a in kernels])
    agreement = (alike.sum(1) - 1) / (len(kernels) - 1)
    best = int(agreement[:2].argmax())
    return FoundKernel(kernels[best], float(agreement[best]), noise)


def busiest(y: np.ndarray, side: int) -> np.ndarray:
    """The part of ``y`` (H, W), ``side`` pixels a side at most, that has the most edges."""
    height, width = (min(side, own) for own in y.shape)
    edges = uniform_filter(abs(gradient(y)).sum(0), (height, width), mode="constant")
    inside = edges[height // 2 : len(y) - (height - 1) // 2, width // 2 : y.shape[1] - (width - 1) // 2]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return y[top : top + height, left : left + width]


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """The largest correlation of two kernels over all shifts, 0 to 1; 1 if they are equal (Hu and Yang 2012)."""
    shape = tuple(m + n for m, n in zip(a.shape, b.shape, strict=True))
    both = np.fft.irfft2(np.fft.rfft2(a, shape).conj() * np.fft.rfft2(b, shape), shape)
    return float(both.max() / np.sqrt((a**2).sum() * (b**2).sum()))


def luminance(x: Tensor) -> np.ndarray:
    """The luminance of ``x``, (1, C, H, W) on [-1, 1]: (H, W) on [0, 1]."""
    return (x[0].mean(0).double().numpy() + 1) / 2

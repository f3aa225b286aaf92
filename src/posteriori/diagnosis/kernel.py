"""Estimates the kernel of a blurred picture from the picture alone, by way of a sharp picture with few edges.

y = k * x + n does not determine k: k = delta and x = y explain y too, and are more likely under any prior of natural
pictures (Levin et al. 2009, "Understanding and evaluating blind deconvolution algorithms"). Strong edges decide it: x
is restricted to as few edges as explain y. No photograph is like that, but its kernel is the right one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.fft import irfft2, next_fast_len, rfft2
from scipy.ndimage import center_of_mass, label, zoom

#: the weight of an edge, for pictures on [0, 1]: the first, the least, the factor by which it falls after each kernel,
#: and the least in units of the noise's variance
FIRST, LEAST, FALL, NOISE = 4e-3, 1e-4, 1.1, 8.0
#: the largest weight beta of the splitting
SPLIT = 1e5
#: kernels at each scale, the factor between scales, and the kernel's side at the coarsest one
ROUNDS, SCALE, COARSEST = 5, 2**0.5, 5
#: the weight of the kernel's square, relative to that of the edges; the weight of its gradient's square, in units of
#: the noise's variance; steps of its fit
SMALL, ROUGH, STEPS = 3e-4, 1e4, 100
#: values below this share of the kernel's largest are removed, and separate parts with less than this share of its sum
FAINT, APART = 0.02, 0.02


def find_kernel(y: np.ndarray, size: int, sigma: float = 0.0, tick: Callable[[], object] = lambda: None) -> np.ndarray:
    """The kernel k, (size, size), of a grey picture ``y`` (H, W) on [0, 1] with white noise ``sigma``; ``size`` is odd.

    k >= 0 and sums to one. Its centre of mass is its middle, to half a pixel, since y cannot tell a shift of k from one
    of x. From coarse to fine scales, some rounds at each, ``edges`` given k and k given the edges are estimated in turn
    (Pan et al. 2014, "Deblurring text images via L0-regularized intensity and gradient prior", algorithm 2, without its
    prior of intensities; Anger et al. 2019, "Blind image deblurring using the l0 gradient prior", section 2).
    ``tick`` is called after each of the ``ROUNDS`` at the finest scale, which take most of the time.
    """
    k, weight = np.outer([1, 2, 1], [1, 2, 1]) / 16, FIRST
    for power in range(max(0, int(math.log(size / COARSEST, SCALE))), -1, -1):
        factor = SCALE**-power
        small, side = reduced(y, factor), int(size * factor / 2) * 2 + 1
        k = framed(k, side)
        for _ in range(ROUNDS):
            k = cleaned(fitted(edges(small, k, weight), gradient(small), side, ROUGH * sigma**2))
            weight = max(weight / FALL, LEAST, NOISE * sigma**2)
            if not power:
                tick()
        k = zoom(k, SCALE, order=1) if power else framed(k, side)
    return k


def edges(y: np.ndarray, k: np.ndarray, weight: float) -> np.ndarray:
    """The gradient (2, H, W) of x = argmin |k * x - y|^2 + weight |grad x|_0.

    By half-quadratic splitting, in turn for growing beta: g = grad x where |grad x|^2 > weight / beta, else 0; and x
    minimises |k * x - y|^2 + beta |grad x - g|^2 (Xu et al. 2011, "Image smoothing via L0 gradient minimization",
    algorithm 1). A ramp joins the picture's ends, since the Fourier transform repeats it.
    """
    height, width = y.shape
    rows, cols = (next_fast_len(side + 2 * len(k), real=True) for side in y.shape)
    x, beta = joined(joined(y, rows).T, cols).T, 2 * weight
    shape, difference = x.shape, np.array([[1.0, -1, 0]])
    blur, down, right = (transfer(own, shape) for own in (k, difference.T, difference))
    seen, power, slope = blur.conj() * rfft2(x), abs(blur) ** 2, abs(down) ** 2 + abs(right) ** 2
    while beta < SPLIT:
        g = gradient(x)
        g *= (g**2).sum(0) > weight / beta
        pull = down.conj() * rfft2(g[0]) + right.conj() * rfft2(g[1])
        x = irfft2((seen + beta * pull) / (power + beta * slope), shape)
        beta *= 2
    return gradient(x)[:, :height, :width]


def fitted(g: np.ndarray, h: np.ndarray, side: int, rough: float = 0.0) -> np.ndarray:
    """k = argmin |k * g - h|^2 + gamma |k|^2 + rough |grad k|^2 over k >= 0, (side, side), of gradients (2, H, W).

    g is the gradient of x and h that of y. Pixels count if the whole window of k around them lies in the frame; gamma
    is ``SMALL`` |g|^2. The normal equations are a convolution of k with the autocorrelation of g. They are solved by
    projected gradients with momentum (Beck and Teboulle 2009, "A fast iterative shrinkage-thresholding algorithm").
    """
    r = side // 2
    g, h = (np.pad(own[:, r:-r, r:-r], ((0, 0), (r, r), (r, r))) for own in (g, h))
    shape = tuple(next_fast_len(n + side, real=True) for n in g.shape[1:])
    spectrum, lags, near = rfft2(g, shape), np.arange(-2 * r, 2 * r + 1), np.arange(-r, r + 1)
    own = irfft2((abs(spectrum) ** 2).sum(0), shape)[np.ix_(lags, lags)]
    cross = irfft2((spectrum.conj() * rfft2(h, shape)).sum(0), shape)[np.ix_(near, near)]
    own[2 * r, 2 * r] *= 1 + SMALL
    own[2 * r - 1 : 2 * r + 2, 2 * r - 1 : 2 * r + 2] += rough * np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    whole, inside = (next_fast_len(3 * side, real=True),) * 2, slice(2 * r, 2 * r + side)
    normal = rfft2(own, whole)
    k, t, largest = np.full((side, side), side**-2.0), 1.0, abs(normal).max()
    z = k
    for _ in range(STEPS):
        slope = irfft2(normal * rfft2(z, whole), whole)[inside, inside] - cross
        before, k = k, (z - slope / largest).clip(0)
        t, last = (1 + math.sqrt(1 + 4 * t**2)) / 2, t
        z = k + (last - 1) / t * (k - before)
    return k


def cleaned(k: np.ndarray) -> np.ndarray:
    """``k`` without faint values and small separate parts, summing to one."""
    k = np.where(k > FAINT * k.max(), k, 0)
    parts, _ = label(k, structure=np.ones((3, 3)))
    held = np.bincount(parts.ravel(), k.ravel())
    k = k * (held >= APART * held.sum())[parts]
    return k / k.sum()


def framed(k: np.ndarray, side: int) -> np.ndarray:
    """The ``side`` x ``side`` values of ``k`` around its centre of mass, summing to one."""
    top, left = (round(middle) for middle in center_of_mass(k))
    k = np.pad(k, side // 2)[top : top + side, left : left + side]
    return k / k.sum()


def reduced(y: np.ndarray, factor: float) -> np.ndarray:
    """``y`` (H, W) with its sides multiplied by ``factor``, which is 1 at most."""
    height, width = (round(side * factor) for side in y.shape)
    small = Image.fromarray(y.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small, dtype=np.float64)


def joined(y: np.ndarray, rows: int) -> np.ndarray:
    """``y`` with ``rows`` rows; the new ones are a ramp from its last row to its first."""
    share = np.linspace(0, 1, rows - len(y) + 2)[1:-1, None]
    return np.concatenate([y, (1 - share) * y[-1] + share * y[0]])


def gradient(x: np.ndarray) -> np.ndarray:
    """(2, H, W): the differences to the pixel below and to that on the right, repeated at the ends."""
    return np.stack([np.roll(x, -1, axis) - x for axis in (0, 1)])


def transfer(k: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The Fourier transform of the kernel ``k``, with its middle at the origin, for pictures of ``shape``."""
    kernel = np.zeros(shape)
    kernel[np.ix_(*(np.arange(n) - n // 2 for n in k.shape))] = k
    return rfft2(kernel)

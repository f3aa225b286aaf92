"""The width of a Gaussian blur, from a picture's power spectrum."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

#: photographs' power falls as this power of the frequency
FALL = 2.4
#: rings of frequencies, in cycles per pixel: above the window's own, up to the largest that all directions have
RINGS = np.linspace(0.02, 0.5, 40)


def gaussian_width(y: np.ndarray) -> float:
    """The std, in pixels, of the Gaussian blur of a grey picture ``y`` (H, W), with white noise of any level.

    The width with the largest marginal likelihood, if photographs are stationary Gaussian with a power that falls as
    f^-FALL (Field 1987, "Relations between the statistics of natural images and the response properties of cortical
    cells"; the mean exponent over pictures is 2 to 2.4). Then y's power at the frequency f has the mean

        m(f) = c f^-FALL exp(-(2 pi f s)^2) + n

    and an exponential distribution, so that -log p(y) = sum_f log m(f) + |y^(f)|^2 / m(f) (Whittle 1953). This is
    minimised over s, c and n.
    """
    counts, power, f = _rings(y)

    def misfit(of: np.ndarray) -> float:
        c, n, s = of
        m = np.exp(c) * f**-FALL * np.exp(-((2 * np.pi * f * s) ** 2)) + np.exp(n)
        return float((counts * (np.log(m) + power / m)).sum() / counts.sum())

    first = np.log(power[0] * f[0] ** FALL), np.log(power[-3:].mean())
    starts = ([*first, s] for s in (0.5, 2.0, 5.0))
    options = {"maxiter": 2000, "xatol": 1e-3, "fatol": 1e-8}
    found = min((minimize(misfit, x0, method="Nelder-Mead", options=options) for x0 in starts), key=lambda r: r.fun)
    return abs(float(found.x[2]))


def _rings(y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How many frequencies each ring has, their mean power, and their mean frequency."""
    window = np.outer(*(np.hanning(side) for side in y.shape))
    power = abs(np.fft.fft2((y - y.mean()) * window)) ** 2 / (window**2).sum()
    f = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, y.shape), indexing="ij"))
    ring = np.digitize(f.ravel(), RINGS)
    counts, sums, frequencies = (
        np.bincount(ring, weights, len(RINGS) + 1)[1:-1] for weights in (None, power.ravel(), f.ravel())
    )
    kept = counts > 0
    return counts[kept], sums[kept] / counts[kept], frequencies[kept] / counts[kept]

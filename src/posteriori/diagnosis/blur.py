"""Whether a picture is blurred everywhere and by how much, from the picture alone."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter
from torch import Tensor

#: standard deviations, in pixels, of the two smoothings that give an edge's width
SCALES = (1.0, 2.0)
#: an edge's slope is at least so many standard deviations of the noise's
CLEAR = 8
#: fewer edges give no result
FEW = 200
#: a picture is blurred if 9 in 10 edges are at least so wide, in pixels; 0.4 is the most that sharp ones reach
WIDE = 1.0


def find_blur(x: Tensor, sigma: float) -> float | None:
    """The std, in pixels, of the Gaussian blur of ``x``, (1, C, H, W) with noise of ``sigma``; None if unsure.

    A step blurred by a Gaussian of std w and smoothed by one of std s has the slope A / sqrt(2 pi (w^2 + s^2)) in its
    middle. The ratio R of the slopes at two smoothings s and t gives w^2 = (t^2 - R^2 s^2) / (R^2 - 1), whatever the
    height A (Zhuo and Sim 2011, "Defocus map estimation from a single image", eq. 6, with two smoothings because of
    noise). It is taken where the slope is the largest across an edge and stands out of the noise. Blur makes all edges
    wide, so none is reported unless nine in ten are. The result is the first quartile, as some edges are soft by
    themselves. An enlarged picture looks the same as a blurred one.
    """
    widths = edge_widths(x, sigma)
    if len(widths) < FEW or np.percentile(widths, 10) < WIDE:
        return None
    return float(np.percentile(widths, 25))


def edge_widths(x: Tensor, sigma: float) -> np.ndarray:
    """The widths of the edges of ``x``, as standard deviations in pixels: see ``find_blur``."""
    luminance = x[0].mean(0).double().numpy()
    s, t = SCALES
    fine, coarse = (np.hypot(*(gaussian_filter(luminance, own, axis) for axis in ((0, 1), (1, 0)))) for own in SCALES)
    noise = sigma / (8 * np.pi * s**4) ** 0.5
    edges = (fine == maximum_filter(fine, (1, 5))) | (fine == maximum_filter(fine, (5, 1)))
    edges &= fine > max(CLEAR * noise, np.quantile(fine, 0.9))
    border = int(4 * t)
    inside = (slice(border, -border), slice(border, -border))
    kept = edges[inside]
    ratio = np.square(fine[inside][kept] / coarse[inside][kept]).clip(1 + 1e-6, (t / s) ** 2)
    return np.sqrt((t**2 - ratio * s**2) / (ratio - 1))

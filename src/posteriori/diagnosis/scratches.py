"""Scratches in a picture: thin lines that are brighter or darker than both their sides."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, label, median_filter
from torch import Tensor

#: pixels a side of the median that thin lines do not survive
WINDOW = 11
#: a line stands out of its surroundings by this many times what half of the pixels do, and by so much on [-1, 1]
CLEAR, LEAST = 8, 0.3
#: a line is longer than this share of the picture's shorter side and than so many pixels
LONG, SHORTEST = 0.05, 20
#: its width in pixels, in the mean
WIDE = 4
#: lines over more than this share of the picture are its own
MOST = 0.05


def find_scratches(x: Tensor) -> np.ndarray | None:
    """(H, W), True where ``x`` (1, C, H, W) has thin lines, with a pixel around; None where there are none.

    What a median of 11 x 11 pixels takes away, of one sign and strong, falls into connected parts: long and thin ones
    are lines. Wires, stalks and hairs are such too: the mask is a proposal, to be looked at.
    """
    luminance = x[0].mean(0).numpy()
    detail = luminance - median_filter(luminance, WINDOW)
    threshold = max(LEAST, CLEAR * float(np.median(np.abs(detail))))
    mask = np.zeros(luminance.shape, bool)
    for sign in (1, -1):
        parts, _ = label(sign * detail > threshold, structure=np.ones((3, 3)))
        for number, where in enumerate(find_objects(parts), 1):
            part = parts[where] == number
            length = np.hypot(*part.shape)
            if length > max(SHORTEST, LONG * min(luminance.shape)) and part.sum() < WIDE * length:
                mask[where] |= part
    if not mask.any() or mask.mean() > MOST:
        return None
    return binary_dilation(mask, np.ones((3, 3)))

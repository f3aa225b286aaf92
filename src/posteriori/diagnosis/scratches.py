"""Scratches in a picture: thin lines that are brighter or darker than both their sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import (
    binary_dilation,
    binary_propagation,
    find_objects,
    label,
    maximum_filter,
    median_filter,
    minimum_filter,
)
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
#: sure scratches are three, and more than this share of the bright lines, so long in pixels
SURE, SURE_SHARE, SURE_LENGTH = 3, 0.25, 25
#: of a line's height, how much at most the places vary through which it runs, and how much detail is beside it
ALIKE, SMOOTH = 0.4, 0.15
#: where there are sure ones, lines are scratches too up to so many times that
SLACK = 1.5
_AROUND = np.ones((3, 3))


@dataclass(frozen=True)
class Scratches:
    """``mask``, (H, W) of bool, and whether it is ``sure`` that they are no lines of the picture's own."""

    mask: np.ndarray
    sure: bool


def find_scratches(x: Tensor) -> Scratches | None:
    """The thin lines of ``x`` (1, C, H, W), with what is around them; None where there are none.

    What a median of 11 x 11 pixels takes away, of one sign and strong, falls into connected parts: long and thin ones
    are lines. Wires, stalks and hairs are such too. Scratches are bright, and know nothing of what they cross, so that
    what is left and right of them is the same, and smooth as often as not. Where three or more are so, and more than a
    quarter of all bright lines, they are sure, and those along an edge are left out.
    """
    luminance = x[0].mean(0).numpy()
    smooth = median_filter(luminance, WINDOW)
    detail = luminance - smooth
    threshold = max(LEAST, CLEAR * float(np.median(np.abs(detail))))
    varies = maximum_filter(smooth, WINDOW) - minimum_filter(smooth, WINDOW)
    proposed, alike = np.zeros(luminance.shape, bool), np.zeros(luminance.shape, bool)
    bright = certain = 0
    for signed in (detail, -detail):
        parts, _ = label(signed > threshold, structure=_AROUND)
        for number, where in enumerate(find_objects(parts), 1):
            part = parts[where] == number
            length = np.hypot(*part.shape)
            if length <= max(SHORTEST, LONG * min(luminance.shape)) or part.sum() >= WIDE * length:
                continue
            proposed[where] |= part
            if signed is not detail:
                continue
            height = np.median(detail[where][part])
            beside = _beside(np.abs(detail), parts == number, where)
            off = max(np.median(varies[where][part]) / height / ALIKE, beside / height / SMOOTH)
            bright += 1
            certain += length > SURE_LENGTH and off < 1
            alike[where] |= part & (off < SLACK)
    if not proposed.any() or proposed.mean() > MOST:
        return None
    sure = certain >= SURE and certain > SURE_SHARE * bright
    mask = binary_propagation(alike, _AROUND, mask=detail > threshold / 2) if sure else proposed
    return Scratches(binary_dilation(mask, _AROUND), sure)


def _beside(values: np.ndarray, part: np.ndarray, where: tuple[slice, slice]) -> float:
    """The mean of ``values`` three and four pixels away from ``part``, which lies ``where``."""
    near = tuple(slice(max(0, side.start - 5), side.stop + 5) for side in where)
    reach = [binary_dilation(part[near], _AROUND, iterations=n) for n in (2, 4)]
    return float(values[near][reach[1] & ~reach[0]].mean())

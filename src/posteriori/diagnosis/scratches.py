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

#: the side, in pixels, of the median filter that removes thin lines
WINDOW = 11
#: a line stands out of its surroundings by this many times the median detail, and by so much on [-1, 1]
CLEAR, LEAST = 8, 0.3
#: a line is longer than this share of the picture's shorter side and than so many pixels
LONG, SHORTEST = 0.05, 20
#: its mean width is below this, in pixels
WIDE = 4
#: lines over more than this share of the picture are part of it
MOST = 0.05
#: scratches are sure if there are three, over this share of the bright lines; they are longer than so many pixels
SURE, SURE_SHARE, SURE_LENGTH = 3, 0.25, 25
#: relative to a line's height: how much its surroundings may vary along it, and how much detail may be beside it
ALIKE, SMOOTH = 0.4, 0.15
#: if there are sure ones, other lines up to so many times those limits are scratches too
SLACK = 1.5
_AROUND = np.ones((3, 3))


@dataclass(frozen=True)
class Scratches:
    """``mask``, (H, W) of bool, and whether it is ``sure`` that they are scratches and not lines of the picture."""

    mask: np.ndarray
    sure: bool


def find_scratches(x: Tensor) -> Scratches | None:
    """The thin lines of ``x`` (1, C, H, W), with the pixels around them; None if there are none.

    A median of 11 x 11 pixels removes thin detail. Strong detail of one sign falls into connected parts; long and thin
    parts are lines. Wires, stalks and hairs are lines too. Scratches are bright and have nothing to do with what they
    cross, so that the picture is the same on both sides of them, and often smooth. If three or more lines are like
    this, and more than a quarter of all bright lines, they are sure, and lines along an edge are left out.
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

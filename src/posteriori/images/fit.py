"""Fitting a picture to the one size that a prior works at: only ever as asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor

from posteriori.errors import PosterioriError

Fit = Literal["crop", "pad", "resize"]

#: of Lanczos' kernel, on each side of its middle
_LOBES = 3

_MEANINGS = "crop (its centre), pad (mirrored, cut off again at the end) or resize (its centre square)"


@dataclass(frozen=True)
class Fitted:
    """A picture of the size asked for. ``window`` (top, left, height, width) is what of it was in the file.

    ``factor`` is how many pixels of the file became one, along a side.
    """

    pixels: np.ndarray
    window: tuple[int, int, int, int]
    note: str = ""
    factor: float = 1.0


def fit(pixels: np.ndarray, height: int, width: int, how: Fit | None, source: object) -> Fitted:
    """``pixels`` brought to ``height`` x ``width``: (H, W, ...) uint8 or float32. Errors name ``source``.

    "crop" takes the centre and "pad" mirrors the borders, both pixel for pixel; "resize" takes the largest
    centred part of the same proportions and resamples it (Lanczos), which also changes the noise in it.
    PosterioriError where the sizes differ and ``how`` is None, or where it cannot be done that way.
    """
    h, w = pixels.shape[:2]
    if (h, w) == (height, width):
        return Fitted(pixels, (0, 0, h, w))
    sizes = f"{source} is {w} x {h} pixels, and {width} x {height} are needed"
    if how is None:
        raise PosterioriError(f"{sizes}: choose --fit {_MEANINGS}")
    if how == "crop":
        if h < height or w < width:
            raise PosterioriError(f"{sizes}; crop only removes pixels: choose --fit pad or resize")
        top, left = (h - height) // 2, (w - width) // 2
        note = f"centre {width} x {height} of {w} x {h} pixels"
        return Fitted(pixels[top : top + height, left : left + width], (0, 0, height, width), note)
    if how == "pad":
        if h > height or w > width:
            raise PosterioriError(f"{sizes}; pad only adds pixels: choose --fit crop or resize")
        top, left = (height - h) // 2, (width - w) // 2
        around = ((top, height - h - top), (left, width - w - left), *[(0, 0)] * (pixels.ndim - 2))
        note = f"{w} x {h} pixels mirrored at the borders to {width} x {height}"
        return Fitted(np.pad(pixels, around, mode="symmetric"), (top, left, h, w), note)
    top, left, part_h, part_w = _centre((h, w), height, width)
    resized = _resample(pixels[top : top + part_h, left : left + part_w], height, width)
    note = f"centre {part_w} x {part_h} of {w} x {h} pixels resized to {width} x {height}"
    return Fitted(resized, (0, 0, height, width), note, min(h / height, w / width))


#: (left, top, width, height) of a part of a picture, in its pixels
Region = tuple[int, int, int, int]


def read_region(text: str) -> Region:
    """Of "LEFT,TOP,WIDTH,HEIGHT"; PosterioriError, one line, for anything else."""
    numbers = [part.strip() for part in text.split(",")]
    if len(numbers) != 4 or not all(n.isdecimal() and len(n) < 10 for n in numbers) or not all(map(int, numbers[2:])):
        raise PosterioriError(f"--region is {text!r}: give LEFT,TOP,WIDTH,HEIGHT in pixels, like 200,100,256,256")
    left, top, width, height = map(int, numbers)
    return left, top, width, height


def cut(pixels: np.ndarray, region: Region, source: object) -> np.ndarray:
    """The ``region`` of ``pixels`` (H, W, ...). PosterioriError where it does not lie in them."""
    left, top, width, height = region
    if top + height > pixels.shape[0] or left + width > pixels.shape[1]:
        raise PosterioriError(
            f"--region {left},{top},{width},{height} does not lie in {source}, which is {pixels.shape[1]} x "
            f"{pixels.shape[0]} pixels"
        )
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def centre(x: Tensor, side: int) -> Tensor:
    """The centre of ``x`` (..., H, W), ``side`` pixels square."""
    top, left = ((n - side) // 2 for n in x.shape[-2:])
    return x[..., top : top + side, left : left + side]


def noise_left(factor: float) -> float:
    """The standard deviation of white noise of unit variance after ``fit(..., "resize")`` by ``factor``."""
    places = (np.arange(256) + 0.5) * factor
    reach = int(np.ceil(_LOBES * max(factor, 1.0))) + 1
    near = np.floor(places)[:, None] + np.arange(-reach, reach + 1)
    away = (near + 0.5 - places[:, None]) / max(factor, 1.0)
    weights = np.where(np.abs(away) < _LOBES, np.sinc(away) * np.sinc(away / _LOBES), 0)
    weights /= weights.sum(1, keepdims=True)
    return float(np.square(weights).sum(1).mean())  # of both sides: a root of each


def _centre(size: tuple[int, ...], height: int, width: int) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the largest centred part with the proportions of ``height`` x ``width``."""
    h, w = size[:2]
    scale = min(h / height, w / width)
    part_h, part_w = max(1, round(scale * height)), max(1, round(scale * width))
    return (h - part_h) // 2, (w - part_w) // 2, part_h, part_w


def _resample(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.dtype == np.float32 and pixels.ndim == 3:  # of which Pillow takes one channel at a time
        return np.stack([_resample(channel, height, width) for channel in np.moveaxis(pixels, 2, 0)], 2)
    part = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(part.resize((width, height), Image.Resampling.LANCZOS))

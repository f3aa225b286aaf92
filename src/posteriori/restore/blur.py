"""Estimates what an operator's text leaves open from a picture, and keeps the kernel beside the results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from posteriori.arrays import Array
from posteriori.diagnosis.blind import find_any, find_width
from posteriori.files import atomic_path
from posteriori.images.files import save_grey
from posteriori.operators import GaussianBlur
from posteriori.restore.inputs import Source
from posteriori.settings.text import Chain

#: sigma on [-1, 1] that a blur which was found is undone with at least: what is wrong with it counts as noise
INEXACT = 0.03
#: pixels a side of the pictures of kernels, about
DRAWN = 256


def blur_of(
    x: Tensor, source: Source, asked: Chain, out: Path, tick: Callable[[], object] = lambda: None
) -> tuple[Chain, str]:
    """``asked`` with its open fields estimated from ``x`` (1, C, H, W), and a line on the estimate and its certainty.

    A kernel is written as OUT/NAME-kernel.npy, and drawn as OUT/NAME-kernel.png. ``tick`` is called as by ``find_any``.
    PosterioriError if the picture is too small.
    """
    assert asked.unknown
    if asked.parts[0].cls is GaussianBlur:
        width = find_width(x)
        text = f"sigma {width.sigma:.2f} pixels, {width.least:.2f} to {width.largest:.2f} in the picture's quarters"
        return asked.found(max(round(width.sigma, 2), 0.1)), text
    kernel = find_any(x, asked.unknown.side, source.path, tick)
    path, side = out / f"{source.name}-kernel.npy", len(kernel.k)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, kernel.k)
    save_grey(np.kron(kernel.k / kernel.k.max(), np.ones((DRAWN // side + 1,) * 2)), path.with_suffix(".png"))
    sure = "sure" if kernel.sure else "NOT sure"
    text = f"a kernel in {side} x {side} pixels, {sure}: three windows agree by {kernel.agreement:.2f}"
    return asked.found(Array(path)), f"{text}; see {path.with_suffix('.png')}"

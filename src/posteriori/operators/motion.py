"""Motion blur: the picture is convolved with the path of a shaking camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import pi
from typing import Annotated, ClassVar, final

import numpy as np
from annotated_types import Ge, Le
from PIL import Image, ImageDraw, ImageFilter

from posteriori.errors import PosterioriError
from posteriori.operators.convolution import Convolution

#: side of the kernels whose canvas is twice as large, the papers'; a smaller one's is at least that
_FINE = 61
#: most moves of the kernel to the path's mean
_SHIFTS = 100


@final
@dataclass(frozen=True)
class MotionBlur(Convolution):
    """Deconvolution: the picture is convolved with a random path, as of a camera that moves during the exposure.

    Kernels are drawn as in the official DPS code, with a seed. On a canvas of twice the size with diagonal D, the path
    has the length 0.75 D (U(0, 1) + U(0, intensity^2)), in steps of Beta(1, 30) (1.1 - intensity) D. The steps turn by
    angles up to U(0, pi intensity), whose sign changes with a probability drawn from Beta(2, 20). The path is drawn as
    a line of D / 150 pixels, blurred by D / 100, reduced to the size by Lanczos resampling, and divided by its sum.

    Two things differ from that code. Kernels below 61 pixels are drawn on a finer canvas, on which the line has a
    width. The code centres the mean of the path's points, and cuts off what lies beyond the kernel, so that the rest
    may be off centre by pixels. Here the kernel is the part of the path whose mean is in its middle, to half a canvas
    pixel.

    Paper: Borodenko 2020, "motionblur", the code that Chung et al. 2023 take their kernels from.
    """

    name: ClassVar[str] = "motion-blur"

    intensity: Annotated[float, Ge(0), Le(1), "0: a straight path; 1: a path with many turns"] = 0.5
    size: Annotated[
        int | None, Ge(3), "side of the kernel, an odd number of pixels; none: nearest to 61 H / 256, at most 61"
    ] = None
    seed: Annotated[int, Ge(0), "seed of the path"] = 0

    def __post_init__(self) -> None:
        if self.size is None:
            nearest = 2 * int(61 * min(self.shape[-2:]) / 512) + 1
            object.__setattr__(self, "size", min(max(nearest, 3), 61))
        if self.size is not None and self.size % 2 == 0:
            raise PosterioriError(f"size is {self.size}: give an odd number of pixels")
        super().__post_init__()

    @property
    def lengths(self) -> tuple[int, int]:
        return self.size or 0, self.size or 0

    @cached_property
    def weights(self) -> np.ndarray:
        size = self.size or 0
        side = 2 * size * -(-_FINE // size)
        diagonal = side * 2**0.5
        path = _path(np.random.default_rng(self.seed), diagonal, self.intensity)
        middle = 2 * side  # no path is longer than 1.5 diagonals: none leaves the canvas
        points = [(point.real + middle, point.imag + middle) for point in path]
        canvas = Image.new("L", (2 * middle, 2 * middle))
        painter = ImageDraw.Draw(canvas)
        painter.line(points, fill=255, width=int(diagonal / 150))
        painter.point(points[:1], fill=255)  # of which a line has none where it is all
        blurred = canvas.filter(ImageFilter.GaussianBlur(int(diagonal / 100)))
        centred = _centred(blurred, side).convert("F")  # a point's mean over a large pixel is below one of 255
        kernel = np.asarray(centred.resize((size, size), Image.Resampling.LANCZOS), dtype=np.float64).clip(min=0)
        return kernel / kernel.sum()


def _centred(drawn: Image.Image, side: int) -> Image.Image:
    """A square of ``drawn`` that is centred at the mean of its contents, by mean shift from the middle."""
    left, top = ((whole - side) // 2 for whole in drawn.size)
    for _ in range(_SHIFTS):
        part = drawn.crop((left, top, left + side, top + side))
        mass = np.asarray(part, dtype=np.float64)
        down, right = ((mass * (places - (side - 1) / 2)).sum() / mass.sum() for places in np.indices(mass.shape))
        if max(abs(down), abs(right)) <= 0.5:
            break
        left, top = left + round(right), top + round(down)
    return part


def _path(rng: np.random.Generator, diagonal: float, intensity: float) -> np.ndarray:
    """The points of a path around 0, as complex numbers."""
    length = 0.75 * diagonal * (rng.uniform() + rng.uniform(0, intensity**2))
    steps: list[float] = []
    while sum(steps) < length:
        step = rng.beta(1, 30) * (1.1 - intensity) * diagonal
        if step < length:
            steps.append(step)
    largest, turning = rng.uniform(0, intensity * pi), rng.beta(2, 20)
    angles = [rng.uniform(-largest, largest)]
    for _ in steps[1:]:
        angle = rng.triangular(0, intensity * largest, largest + 0.1)
        angles.append(angle * np.sign(angles[-1]) * (-1 if rng.uniform() < turning else 1))
    path = np.cumsum(np.array(steps) * np.exp(1j * np.array(angles)))
    return (path - path.mean()) * np.exp(1j * rng.uniform(0, pi))

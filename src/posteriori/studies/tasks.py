"""The report's two tasks, at any size."""

from __future__ import annotations

import math
from dataclasses import dataclass

from posteriori.operators import BoxMask, GaussianBlur
from posteriori.operators.base import Operator

#: noise of both tasks and time of the single-pass baseline: the report, sections 3.2 and 3.6
SIGMA_Y = 0.05
T_DENOISE = 100


@dataclass(frozen=True)
class Task:
    """An inverse problem: a short name, its label in the table, and the operator."""

    name: str
    label: str
    operator: Operator


def tasks(shape: tuple[int, ...]) -> tuple[Task, Task]:
    """The report's two tasks at ``shape``: a 50/256 box, and a Gaussian blur of sigma 3 at 256 pixels.

    The blur's sigma shrinks with the square root of the side. This lies between the sigma at which a smaller picture
    loses the same PSNR, and the sigma that keeps as many singular values above the noise (docs/report.md).
    """
    side = shape[-1]
    box = BoxMask(shape)
    blur = GaussianBlur(shape, sigma=round(3 * math.sqrt(side / 256), 2), size=61)
    return (
        Task("inpainting", f"inpainting, box {box.size} x {box.size}", box),
        Task("deconvolution", f"deconvolution, blur sigma {blur.sigma:g} px", blur),
    )

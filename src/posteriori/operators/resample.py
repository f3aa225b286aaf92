"""Super-resolution: A reduces the number of pixels by a whole factor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, final

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.separable import Separable
from posteriori.operators.svd import Orthogonal


@dataclass(frozen=True)
class Smaller(Separable):
    """y has one pixel for each block of factor x factor pixels."""

    pixel_fields: ClassVar[tuple[str, ...] | None] = ()  # the factor is a ratio

    factor: Annotated[int, Ge(1), "side of a block, in pixels; must divide both sides of the picture"] = 4

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        channels, height, width = measured
        factor = fields.get("factor", cls.factor)
        return channels, factor * height, factor * width

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(side % self.factor for side in self.shape[-2:]):
            size = f"{self.shape[-2]} x {self.shape[-1]}"
            raise PosterioriError(f"factor is {self.factor}: give a divisor of both sides of {size}")


@final
@dataclass(frozen=True)
class Downsample(Orthogonal, Smaller):
    """Super-resolution: every block of pixels is replaced by its mean.

    y is (B, C, H / factor, W / factor), and A A^T = I / factor^2.
    """

    name: ClassVar[str] = "downsample"
    averages: ClassVar[bool] = True
    selects: ClassVar[bool] = True

    @cached_property
    @torch.inference_mode(False)
    def matrices(self) -> tuple[Tensor, Tensor]:
        height, width = (torch.eye(side // self.factor, dtype=torch.float64) for side in self.shape[-2:])
        block = torch.full((1, self.factor), 1 / self.factor, dtype=torch.float64)
        return torch.kron(height, block), torch.kron(width, block)

    @property
    def s(self) -> Tensor:
        return torch.tensor(1 / self.factor)

    def Vt(self, x: Tensor) -> Tensor:
        return self.factor * F.avg_pool2d(x, self.factor)

    def V(self, c: Tensor) -> Tensor:
        return c.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2) / self.factor


@final
@dataclass(frozen=True)
class Bicubic(Smaller):
    """Super-resolution: the picture is reduced by bicubic interpolation, with the kernel stretched by the factor.

    y_i = sum_j k((u_i - j) / factor) x_j with u_i = (i + 1/2) factor - 1/2, along the height and the width. k is Keys'
    cubic with a = -1/2, divided by its sum at each i. The border is mirrored, and its edge repeated. This is Matlab's
    imresize, and the x4 of the official codes.

    Paper: Keys 1981, "Cubic convolution interpolation for digital image processing", equation 15.
    """

    name: ClassVar[str] = "bicubic"
    averages: ClassVar[bool] = True
    overshoot: ClassVar[float] = 0.42  # the absolute weights sum to 1.188 along each side

    factor: Annotated[int, Ge(1), "side of a block, in pixels; must divide both sides of the picture"] = 4

    @cached_property
    @torch.inference_mode(False)
    def matrices(self) -> tuple[Tensor, Tensor]:
        return _bicubic(self.shape[-2], self.factor), _bicubic(self.shape[-1], self.factor)


@final
@dataclass(frozen=True)
class Decimate(Orthogonal, Smaller):
    """Super-resolution: one pixel of every block is kept, y_ij = x_(factor i, factor j).

    After a blur this is the common model of super-resolution: decimate(factor=4) @ blur(kernel=FILE). Alone it is
    nearest-neighbour interpolation.
    """

    name: ClassVar[str] = "decimate"
    averages: ClassVar[bool] = True
    selects: ClassVar[bool] = True

    @classmethod
    def seen(cls, **fields: Any) -> float:
        return 1 / fields.get("factor", cls.factor) ** 2

    @cached_property
    @torch.inference_mode(False)
    def matrices(self) -> tuple[Tensor, Tensor]:
        height, width = (torch.eye(side, dtype=torch.float64)[:: self.factor] for side in self.shape[-2:])
        return height, width

    def Vt(self, x: Tensor) -> Tensor:
        return x[..., :: self.factor, :: self.factor]

    def V(self, c: Tensor) -> Tensor:
        x = c.new_zeros(*c.shape[:-2], *self.shape[-2:])
        x[..., :: self.factor, :: self.factor] = c
        return x

    def initial_estimate(self, y: Tensor) -> Tensor:
        """Every pixel repeated over its block."""
        return y.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2)


def _bicubic(side: int, factor: int) -> Tensor:
    """The matrix that takes ``side`` pixels to side / factor, float64."""
    reached = 2 * factor
    border = np.pad(np.arange(side), reached, mode="symmetric")  # border[j] stands at the place j - reached
    places = np.arange(-reached, side + reached)
    matrix = np.zeros((side // factor, side))
    for row in range(len(matrix)):
        away = np.abs((row + 0.5) * factor - 0.5 - places) / factor
        near, far = 1.5 * away**3 - 2.5 * away**2 + 1, -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        weights = np.where(away <= 1, near, np.where(away < 2, far, 0.0))
        np.add.at(matrix[row], border, weights / weights.sum())
    return torch.from_numpy(matrix)

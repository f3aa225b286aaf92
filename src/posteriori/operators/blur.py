"""Gaussian blur with reflect padding: A X = K_h X K_w^T with small dense matrices that hold the padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.separable import Separable


@final
@dataclass(frozen=True)
class GaussianBlur(Separable):
    """Deconvolution: the picture is convolved with a Gaussian.

    The report's deconvolution is sigma = 3, size = 61 at 256 x 256. As in the official DPS code the
    kernel ends at four sigma and the border is reflected without repeating the edge. Separable, so two
    one-dimensional SVDs give the whole one; it is neither symmetric nor diagonal in the Fourier basis. The cut-off of
    the pseudo-inverse is on the product of the two singular values; DDRM's and DDNM's code has it on each.

    Paper: Chung et al. 2023, "Diffusion posterior sampling for general noisy inverse problems", section 4.
    """

    name: ClassVar[str] = "gaussian-blur"
    averages: ClassVar[bool] = True
    cutoff: ClassVar[float] = 3e-2

    sigma: Annotated[float, Gt(0), "standard deviation of the Gaussian, in pixels"] = 3.0
    size: Annotated[int, Ge(1), "side of the kernel's window, an odd number of pixels; it ends at 4 sigma"] = 61

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            raise PosterioriError(f"size is {self.size}: give an odd number of pixels")
        if self._radius >= min(self.shape[-2:]):
            raise PosterioriError(
                f"a blur that reaches {self._radius} pixels cannot be reflected at the border of "
                f"{self.shape[-2]} x {self.shape[-1]}: lower sigma or size"
            )

    @property
    def _radius(self) -> int:
        return int(min(self.size // 2, 4 * self.sigma + 0.5))

    @cached_property
    def kernel(self) -> np.ndarray:
        """The one-dimensional kernel, float64, summing to 1."""
        weights = np.exp(-0.5 * (np.arange(-self._radius, self._radius + 1) / self.sigma) ** 2)
        return weights / weights.sum()

    @cached_property
    @torch.inference_mode(False)
    def matrices(self) -> tuple[Tensor, Tensor]:
        height, width = self.shape[-2:]
        return _reflected(self.kernel, height), _reflected(self.kernel, width)

    def initial_estimate(self, y: Tensor) -> Tensor:
        return y


def _reflected(kernel: np.ndarray, side: int) -> Tensor:
    """(side, side) matrix of convolution with reflect padding."""
    radius = len(kernel) // 2
    columns = np.pad(np.arange(side), radius, mode="reflect")
    matrix = np.zeros((side, side))
    for row in range(side):
        np.add.at(matrix[row], columns[row : row + len(kernel)], kernel)
    return torch.from_numpy(matrix)

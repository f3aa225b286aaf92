"""Blurs with a product kernel, K = k k^T: A X = K_h X K_w^T, with small dense matrices that include the border."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, final

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.border import Bordered, convolution
from posteriori.operators.convolution import Outer
from posteriori.operators.separable import Separable

#: pixels a side from which the Fourier transform is quicker than matrices, and their decomposition takes seconds
LARGE = 1024


@dataclass(frozen=True)
class _SeparableBlur(Bordered, Separable):
    """One kernel along the height and along the width."""

    averages: ClassVar[bool] = True
    cutoff: ClassVar[float] = 3e-2

    @cached_property
    def _fourier(self) -> Outer | None:
        """The same by the Fourier transform, if that is faster."""
        return Outer(self.shape, self.kernel, border=self.border) if max(self.shape[-2:]) > LARGE else None

    def __call__(self, x: Tensor) -> Tensor:
        return self._fourier(x) if self._fourier else super().__call__(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._fourier.adjoint(y) if self._fourier else super().adjoint(y)

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        return self._fourier.prox(z, y, rho) if self._fourier and rho else super().prox(z, y, rho)

    @property
    @abstractmethod
    def kernel(self) -> np.ndarray:
        """The one-dimensional kernel, float64, summing to 1."""

    @cached_property
    @torch.inference_mode(False)
    def matrices(self) -> tuple[Tensor, Tensor]:
        height, width = (convolution(self.kernel, side, self.border) for side in self.shape[-2:])
        return height, width


@final
@dataclass(frozen=True)
class GaussianBlur(_SeparableBlur):
    """Deconvolution: the picture is convolved with a Gaussian.

    The report has sigma = 3, size = 61 at 256 x 256. As in the official DPS code, the kernel ends at four sigma, and
    the border is reflected without repeating the edge. The blur is separable, so that two one-dimensional SVDs give the
    full one; it is neither symmetric nor diagonal in the Fourier basis. The cut-off of the pseudo-inverse applies to
    the product of the two singular values; in DDRM's and DDNM's code it applies to each.

    Paper: Chung et al. 2023, "Diffusion posterior sampling for general noisy inverse problems", section 4.
    """

    name: ClassVar[str] = "gaussian-blur"
    pixel_fields: ClassVar[tuple[str, ...] | None] = ("sigma",)
    findable: ClassVar[str | None] = "sigma"

    sigma: Annotated[float, Gt(0), "standard deviation of the Gaussian, in pixels"] = 3.0
    size: Annotated[int, Ge(1), "side of the kernel's window, an odd number of pixels; it ends at 4 sigma"] = 61

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            raise PosterioriError(f"size is {self.size}: give an odd number of pixels")

    @classmethod
    def of_resized(cls, factor: float, **fields: Any) -> dict[str, Any]:
        window = 2 * math.ceil(fields.get("size", cls.size) / factor / 2) + 1
        return super().of_resized(factor, **fields) | {"size": window}

    @property
    def _radius(self) -> int:
        return int(min(self.size // 2, 4 * self.sigma + 0.5))

    @property
    def lengths(self) -> tuple[int, int]:
        return 2 * self._radius + 1, 2 * self._radius + 1

    @cached_property
    def kernel(self) -> np.ndarray:
        weights = np.exp(-0.5 * (np.arange(-self._radius, self._radius + 1) / self.sigma) ** 2)
        return weights / weights.sum()


@final
@dataclass(frozen=True)
class BoxBlur(_SeparableBlur):
    """Deconvolution: every pixel is replaced by the mean of a square around it.

    y = k * x with k = 1 / size^2 on size x size pixels. A square of even size reaches one pixel further down and right.
    """

    name: ClassVar[str] = "box-blur"

    size: Annotated[int, Ge(1), "side of the square, in pixels"] = 5

    @property
    def lengths(self) -> tuple[int, int]:
        return self.size, self.size

    @cached_property
    def kernel(self) -> np.ndarray:
        return np.full(self.size, 1 / self.size)

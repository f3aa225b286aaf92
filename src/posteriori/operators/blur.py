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
from posteriori.operators.svd import SVDOperator, svd


@final
@dataclass(frozen=True)
class GaussianBlur(SVDOperator):
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
    @torch.inference_mode(False)  # they outlive it, and gradients pass by them
    def _matrices(self) -> tuple[Tensor, ...]:
        """K_h and K_w, float64."""
        return tuple(_reflected(self.kernel, side) for side in self.shape[-2:])

    @cached_property
    @torch.inference_mode(False)
    def _factors(self) -> tuple[tuple[Tensor, ...], ...]:
        """(U, s, V^T) along the height and along the width, float32."""
        return tuple(tuple(factor.float() for factor in svd(matrix)) for matrix in self._matrices)

    def __call__(self, x: Tensor) -> Tensor:
        k_h, k_w = self._matrices
        return k_h.to(x) @ x @ k_w.T.to(x)

    @property
    def s(self) -> Tensor:
        (_, s_h, _), (_, s_w, _) = self._factors
        return s_h[:, None] * s_w

    def U(self, c: Tensor) -> Tensor:
        (u_h, _, _), (u_w, _, _) = self._factors
        return u_h.to(c) @ c @ u_w.T.to(c)

    def Ut(self, y: Tensor) -> Tensor:
        (u_h, _, _), (u_w, _, _) = self._factors
        return u_h.T.to(y) @ y @ u_w.to(y)

    def V(self, c: Tensor) -> Tensor:
        (_, _, vt_h), (_, _, vt_w) = self._factors
        return vt_h.T.to(c) @ c @ vt_w.to(c)

    def Vt(self, x: Tensor) -> Tensor:
        (_, _, vt_h), (_, _, vt_w) = self._factors
        return vt_h.to(x) @ x @ vt_w.T.to(x)

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

"""Computed tomography: line integrals of an image, by a sparse matrix."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, final

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from scipy import sparse
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.drawing import in_colour
from posteriori.operators.kspace import pixels
from posteriori.operators.linear import LinearOperator

#: largest size of the matrix and its transpose, in bytes
LARGEST = 8 * 2**30
#: bytes for each pixel and view: 2.2 entries of a weight and a column in both
_BYTES = 36


@final
@dataclass(frozen=True)
class CT(LinearOperator):
    """Computed tomography: the picture's mean along parallel lines, from several directions.

    y(t, theta) = (1 / N) sum_s x(t cos theta + s sin theta, ...), the sinogram (C, M, views), where N is the longer
    side. The detector has M = ceil(sqrt(2) N) bins of one pixel, and sees the whole picture; x is 0 outside. The views
    are at equal angles from 0 to ``span`` degrees; limited-angle tomography has less than 180. The result equals
    scikit-image's ``radon(x, theta, circle=False) / N``, which rotates the picture by bilinear interpolation and adds
    its columns. Line integrals p of attenuations mu on [0, 1], with x = 2 mu - 1, are y = (2 p - radon(1)) / N. The
    initial estimate is filtered back-projection with the ramp filter.

    The weights are a sparse matrix and its transpose, computed once for a shape. So the adjoint is exact, and ten times
    faster on a processor than rotating the picture (64 x 64, 60 views: 1.6 ms against 19 ms, and 1.4 ms against 50 ms
    for the adjoint). They take 36 bytes for each pixel and view.

    Paper: Kak and Slaney 1988, "Principles of computerized tomographic imaging", chapter 3.
    """

    name: ClassVar[str] = "ct"

    views: Annotated[int, Ge(1), "number of projections, at equal angles"] = 60
    span: Annotated[float, Gt(0), Le(180), "range of the angles, in degrees"] = 180.0

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        """For square pictures."""
        side = int(measured[1] / math.sqrt(2))
        return measured[0], side, side

    def __post_init__(self) -> None:
        super().__post_init__()
        height, width = pixels(self.shape)
        if (need := _BYTES * height * width * self.views) > LARGEST:
            most = LARGEST // (_BYTES * height * width)
            raise PosterioriError(
                f"{self.views} views of {height} x {width} pixels need {need / 2**30:.3g} GiB, and at most "
                f"{LARGEST / 2**30:.0f} are possible: give smaller pictures, or views up to {most}"
            )

    @property
    def _side(self) -> int:
        return max(self.shape[1:])

    @property
    def _bins(self) -> int:
        return math.ceil(math.sqrt(2) * self._side)

    @property
    def angles(self) -> np.ndarray:
        """The angles of the views, in degrees."""
        return self.span / self.views * np.arange(self.views)

    @cached_property
    @torch.inference_mode(False)
    def _matrices(self) -> tuple[Tensor, Tensor]:
        """A, a row for each view and bin, and A^T: float32, on the CPU."""
        matrix = sparse.vstack(list(self._rows()), format="csr")
        return _csr(matrix), _csr(matrix.T.tocsr())

    def _rows(self) -> Iterator[sparse.csr_matrix]:
        """The rows of A, one view after another."""
        height, width = self.shape[1:]
        bins = np.arange(self._bins)
        middle = self._bins // 2
        t, s = np.meshgrid(bins - middle, bins - middle)
        for angle in np.deg2rad(self.angles):
            column = np.cos(angle) * t + np.sin(angle) * s + width // 2
            row = -np.sin(angle) * t + np.cos(angle) * s + height // 2
            entries = []
            for c in (np.floor(column), np.floor(column) + 1):
                for r in (np.floor(row), np.floor(row) + 1):
                    weight = (1 - abs(column - c)) * (1 - abs(row - r))
                    on = (c >= 0) & (c < width) & (r >= 0) & (r < height) & (weight > 0)
                    pixel = (r[on] * width + c[on]).astype(np.int32)
                    entries.append((weight[on], np.broadcast_to(bins, on.shape)[on], pixel))
            weights, to, from_ = map(np.concatenate, zip(*entries, strict=True))
            values = (weights / self._side).astype(np.float32)
            yield sparse.coo_matrix((values, (to, from_)), (self._bins, height * width)).tocsr()

    def _on(self, near: Tensor) -> tuple[Tensor, Tensor]:
        a, at = self._matrices
        return a.to(near), at.to(near)

    def __call__(self, x: Tensor) -> Tensor:
        y = _Product.apply(x.flatten(2).flatten(0, 1), *self._on(x))
        return y.view(*x.shape[:2], self.views, self._bins).mT

    def adjoint(self, y: Tensor) -> Tensor:
        a, at = self._on(y)
        x = _Product.apply(y.mT.flatten(2).flatten(0, 1), at, a)
        return x.view(len(y), *self.shape)

    def initial_estimate(self, y: Tensor) -> Tensor:
        """Filtered back-projection: the ramp filter of Kak and Slaney, eq. 61, along the detector, then A^T."""
        n = 2 ** math.ceil(math.log2(2 * self._bins))
        lags = torch.fft.fftfreq(n, 1 / n, dtype=y.dtype, device=y.device).round()
        ramp = torch.where(lags % 2 == 0, 0.0, -1 / (math.pi * lags).square())
        ramp[0] = 1 / 4
        filtered = torch.fft.ifft(torch.fft.fft(y, n, dim=2) * torch.fft.fft(ramp).real[:, None], dim=2).real
        step = math.radians(self.span) / self.views
        return step * self._side**2 * self.adjoint(filtered[:, :, : self._bins])

    def drawing(self, y: Tensor) -> tuple[str, Tensor]:
        return "sinogram", in_colour(y)


class _Product(torch.autograd.Function):
    """Each row of x, (R, n), by the sparse matrix a, (m, n), whose transpose is at: (R, m)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, at: Tensor) -> Tensor:
        ctx.matrices = at, a
        return (a @ x.mT).mT

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grads[0], *ctx.matrices), None, None


def _csr(matrix: sparse.csr_matrix) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse")  # that sparse tensors are new, and not checked unless asked for
        parts = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
        return torch.sparse_csr_tensor(*parts, size=matrix.shape, check_invariants=False)

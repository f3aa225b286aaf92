"""Blurs by any kernel, y = k * x, through the Fourier transform."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Gt
from scipy.fft import next_fast_len
from torch import Tensor

from posteriori.arrays import Array
from posteriori.errors import PosterioriError
from posteriori.linalg import cg
from posteriori.operators.border import Bordered, columns, convolution
from posteriori.operators.separable import Separable
from posteriori.operators.svd import SVDOperator

#: a kernel counts as a product of two if its second singular value is below this share of the first
_PRODUCT = 1e-9


@dataclass(frozen=True)
class Convolution(Bordered):
    """y(i) = sum_j k(j) x(i + c - j), the same for every channel, with the kernel's middle c at half its sides.

    This is a true convolution: networks' layers correlate instead, with k rotated by 180 degrees. The SVD is known for
    a circular border, and for a k that is a product of two.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "averages", bool((self.weights >= 0).all()))

    @property
    @abstractmethod
    def weights(self) -> np.ndarray:
        """The kernel k, two-dimensional, float64, summing to 1."""

    @property
    def lengths(self) -> tuple[int, int]:
        rows, cols = self.weights.shape
        return rows, cols

    @cached_property
    def measured_shape(self) -> tuple[int, ...]:
        return (*self.shape[:-2], *self.frame[2:])

    @cached_property
    def svd(self) -> SVDOperator | None:
        if self.border == "circular":
            return _Circular(self.shape, self._transfer)
        u, s, vt = np.linalg.svd(self.weights)
        if len(s) > 1 and s[1] > _PRODUCT * s[0]:
            return None
        height, width = self.shape[-2:]
        rows, cols = u[:, 0] / u[:, 0].sum(), vt[0] / vt[0].sum()
        pair = convolution(rows, height, self.border), convolution(cols, width, self.border)
        return _Product(self.shape, pair)

    @cached_property
    def _grid(self) -> tuple[int, int]:
        """The sides on which the Fourier transform is taken: those of the padded picture, or slightly more."""
        if self.border == "circular":
            return self.shape[-2], self.shape[-1]
        height, width = (len(padding) for padding in self._padding)
        return next_fast_len(height, real=True), next_fast_len(width, real=True)

    @cached_property
    @torch.inference_mode(False)  # they outlive inference mode, and no gradient goes through them
    def _padding(self) -> tuple[Tensor, Tensor]:
        """Which pixel stands at each position of the padded picture, along the height and the width."""
        sides, lengths = self.shape[-2:], self.weights.shape
        height, width = (
            torch.from_numpy(columns(side, length, self.border)) for side, length in zip(sides, lengths, strict=True)
        )
        return height, width

    @cached_property
    @torch.inference_mode(False)
    def _transfer(self) -> Tensor:
        """The kernel's Fourier transform on the grid, complex, with its middle (or, padded, its first pixel) at 0."""
        rows, cols = self.weights.shape
        height, width = self._grid
        down, right = (rows // 2, cols // 2) if self.border == "circular" else (0, 0)
        kernel = np.zeros((height, width))
        at = np.ix_((np.arange(rows) - down) % height, (np.arange(cols) - right) % width)
        np.add.at(kernel, at, self.weights)
        return torch.fft.rfft2(torch.from_numpy(kernel))

    def _filtered(self, x: Tensor, transfer: Tensor) -> Tensor:
        factor = transfer.to(x.device, torch.complex128 if x.dtype == torch.float64 else torch.complex64)
        return torch.fft.irfft2(factor * torch.fft.rfft2(x, s=self._grid), s=self._grid)

    def __call__(self, x: Tensor) -> Tensor:
        if self.border == "circular":
            return self._filtered(x, self._transfer)
        if self.border != "valid":
            down, right = (padding.to(x.device) for padding in self._padding)
            x = x.index_select(-2, down).index_select(-1, right)
        full = self._filtered(x, self._transfer)
        (rows, cols), (_, height, width) = self.weights.shape, self.measured_shape
        return full[..., rows - 1 : rows - 1 + height, cols - 1 : cols - 1 + width]

    def adjoint(self, y: Tensor) -> Tensor:
        if self.border == "circular":
            return self._filtered(y, self._transfer.conj())
        (rows, cols), (_, height, width) = self.weights.shape, self.measured_shape
        full = y.new_zeros(*y.shape[:-2], *self._grid)
        full[..., rows - 1 : rows - 1 + height, cols - 1 : cols - 1 + width] = y
        down, right = (padding.to(y.device) for padding in self._padding)
        back = self._filtered(full, self._transfer.conj())[..., : len(down), : len(right)]
        if self.border == "valid":
            return back
        across = back.new_zeros(*back.shape[:-1], self.shape[-1]).index_add(-1, right, back)
        return across.new_zeros(*back.shape[:-2], *self.shape[-2:]).index_add(-2, down, across)

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        if self.svd:
            return self.svd.prox(z, y, rho)
        if not rho:  # for the solution nearest to z
            return super().prox(z, y, rho)
        if self.border == "valid":
            return z + self._within(y - self(z), rho)
        factor = 1 / (self._transfer.abs().square() + rho)

        def near(r: Tensor) -> Tensor:  # the inverse, except at the border
            return self._filtered(r, factor)[..., : r.shape[-2], : r.shape[-1]]

        misfit = self.adjoint(y - self(z))
        return z + cg(lambda d: self.adjoint(self(d)) + rho * d, misfit, self.tolerance, self.iterations, near=near)

    def _within(self, misfit: Tensor, rho: float) -> Tensor:
        """The d that minimises |A d - misfit|^2 + rho |d|^2, if y is smaller than the picture.

        On a periodic grid that contains the picture, the convolution is C, which is diagonal. y sees a frame of it.
        With w for C d outside the frame (w is 0 in the frame, and misfit is 0 outside),

            d = C^T v / (C C^T + rho),  v = misfit + w,

        so that w = C d outside is a system for w. Conjugate gradients solve it, with one filter a step, until its
        residual is ``tolerance`` of |misfit|.
        """
        (rows, cols), (height, width) = self.weights.shape, misfit.shape[-2:]
        frame = (..., slice(rows - 1, rows - 1 + height), slice(cols - 1, cols - 1 + width))
        transposed, power = self._transfer.conj(), self._transfer.abs().square()
        smoothed = power / (power + rho)
        v = misfit.new_zeros(*misfit.shape[:-2], *self._grid)
        v[frame] = misfit

        def outside(v: Tensor) -> Tensor:
            v[frame] = 0
            return v

        b = outside(self._filtered(v, smoothed))
        size, aim = (own.flatten(1).norm(dim=1) for own in (b, misfit))
        enough = self.tolerance * aim / size.clamp(min=torch.finfo(b.dtype).tiny)
        w = cg(lambda w: w - outside(self._filtered(w, smoothed)), b, enough, self.iterations)
        return self._filtered(v + w, transposed / (power + rho))[..., : self.shape[-2], : self.shape[-1]]


@dataclass(frozen=True, eq=False)
class Outer(Convolution):
    """The convolution with the product of ``kernel`` along the height and along the width.

    By the Fourier transform only: for large pictures this is faster than matrices of the picture's size.
    """

    tolerance: ClassVar[float] = 1e-3

    kernel: np.ndarray = field(repr=False)

    @cached_property
    def weights(self) -> np.ndarray:
        return np.outer(self.kernel, self.kernel)

    @property
    def svd(self) -> None:
        return None


@dataclass(frozen=True, eq=False)
class _Product(Separable):
    """The convolution with a product of two kernels."""

    cutoff: ClassVar[float] = 3e-2

    matrices: tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class _Circular(SVDOperator):
    """A circular convolution, which is diagonal in the Fourier basis.

    V is the real basis of Hartley's transform, cos + sin of every frequency, which is orthonormal and its own inverse
    (Bracewell 1983). s = |k^|, and U rotates each frequency by the phase of k^.
    """

    cutoff: ClassVar[float] = 3e-2

    transfer: Tensor = field(repr=False)

    @cached_property
    @torch.inference_mode(False)
    def s(self) -> Tensor:
        """|k^| at all frequencies. The real transform has half of them; the others are mirror images."""
        height, width = self.shape[-2:]
        half = self.transfer.abs()
        mirrored = half[(-torch.arange(height)) % height]
        rest = torch.arange(half.shape[1], width)
        return torch.cat([half, mirrored[:, width - rest]], 1).float()

    def _phase(self, c: Tensor) -> Tensor:
        size = self.transfer.abs()
        phase = torch.where(size > 0, self.transfer / size.clamp(min=torch.finfo(size.dtype).tiny), 1.0)
        return phase.to(c.device, torch.complex128 if c.dtype == torch.float64 else torch.complex64)

    def V(self, c: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(c, norm="ortho")
        return spectrum.real - spectrum.imag

    def Vt(self, x: Tensor) -> Tensor:
        return self.V(x)

    def U(self, c: Tensor) -> Tensor:
        return torch.fft.irfft2(self._phase(c) * torch.fft.rfft2(self.V(c)), s=c.shape[-2:])

    def Ut(self, y: Tensor) -> Tensor:
        return self.V(torch.fft.irfft2(self._phase(y).conj() * torch.fft.rfft2(y), s=y.shape[-2:]))


@final
@dataclass(frozen=True)
class Blur(Convolution):
    """Deconvolution: the picture is convolved with any kernel, from a file or an array.

    The file is either an array from numpy.save, or a picture of the kernel, white on black. The kernel is divided by
    its sum. Its middle is the pixel at half its sides.
    """

    name: ClassVar[str] = "blur"
    findable: ClassVar[str | None] = "kernel"

    kernel: Annotated[Array | None, "the kernel; none: a 5 x 5 binomial kernel, about sigma = 1"] = None

    def __post_init__(self) -> None:
        if self.kernel is not None:
            object.__setattr__(self, "kernel", Array(self.kernel))
        super().__post_init__()

    @cached_property
    def weights(self) -> np.ndarray:
        if self.kernel is None:
            binomial = np.array([1, 4, 6, 4, 1]) / 16
            return np.outer(binomial, binomial)
        values = self.kernel.values
        if values.ndim != 2 or not values.size:
            raise PosterioriError(f"the kernel has shape {values.shape}: give two dimensions, (height, width)")
        largest = np.abs(values).max() or 1.0  # of numbers up to it the sum could be too large to be one
        total = (values / largest).sum()
        if abs(total) < 1e-6:
            raise PosterioriError("the kernel sums to zero, and cannot be divided by its sum: give another kernel")
        return values / largest / total


@final
@dataclass(frozen=True)
class Defocus(Convolution):
    """Deconvolution: every point is spread over a disc, as by a lens out of focus.

    k is 1 / (pi radius^2) inside the disc. A pixel at the edge counts by the share of its area inside.
    """

    name: ClassVar[str] = "defocus"
    pixel_fields: ClassVar[tuple[str, ...] | None] = ("radius",)

    radius: Annotated[float, Gt(0), "radius of the disc, in pixels"] = 3.0

    @property
    def lengths(self) -> tuple[int, int]:
        return 2 * int(self.radius + 0.5) + 1, 2 * int(self.radius + 0.5) + 1

    @cached_property
    def weights(self) -> np.ndarray:
        side, parts = self.lengths[0], 32
        places = (np.arange(side * parts) + 0.5) / parts - side / 2
        inside = np.add.outer(places**2, places**2) <= self.radius**2
        share = inside.reshape(side, parts, side, parts).mean((1, 3))
        return share / share.sum()

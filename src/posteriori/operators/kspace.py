"""k-space: the discrete Fourier transform of real and complex images, and measurements of single points of it."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.drawing import decades, in_colour
from posteriori.operators.svd import SVDOperator


def pixels(shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W) of an image's ``shape``, (C, H, W); PosterioriError for any other."""
    if len(shape) != 3:
        raise PosterioriError(f"the images are {shape}: this operator takes (C, H, W)")
    return shape[1], shape[2]


def is_complex(shape: tuple[int, ...]) -> bool:
    """Whether images of ``shape`` (C, H, W) are complex, with real and imaginary part as two channels."""
    return shape[0] == 2


def transform(z: Tensor) -> Tensor:
    """F z, (..., H, W) complex: the orthonormal Fourier transform, with both origins in the middle, at side // 2."""
    dim = (-2, -1)
    return torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(z, dim), norm="ortho"), dim)


def inverse(k: Tensor) -> Tensor:
    """F^H k, the inverse of ``transform``."""
    dim = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(k, dim), norm="ortho"), dim)


def joined(x: Tensor) -> Tensor:
    """(..., 2, H, W), real and imaginary part, as (..., H, W) complex."""
    return torch.complex(x.select(-3, 0), x.select(-3, 1))


def parts(z: Tensor) -> Tensor:
    """(..., H, W) complex as (..., 2, H, W)."""
    return torch.stack([z.real, z.imag], -3)


@dataclass(frozen=True)
class KSpace(SVDOperator):
    """y = M F x, the points of k-space under a mask M: (C, 2, H, W), or (2, H, W) for complex images, zero elsewhere.

    For a complex image, the measured points are coordinates with singular values of 1. For a real image with transform
    X, the coordinates are those of the Hartley transform, Re X - Im X, which is real, symmetric and its own inverse.
    With the mask m(k) in {0, 1}, A^T A multiplies coordinate k by s^2 = (m(k) + m(-k)) / 2.
    """

    @cached_property
    @abstractmethod
    def keep(self) -> Tensor:
        """M: true where k-space is measured, (H, W), the zero frequency at (H // 2, W // 2)."""

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        return measured if len(measured) == 3 else (measured[0], *measured[-2:])

    def __post_init__(self) -> None:
        super().__post_init__()
        pixels(self.shape)

    @cached_property
    @torch.inference_mode(False)
    def _square(self) -> Tensor:
        """s^2, (H, W)."""
        keep = self.keep.float()
        return keep if is_complex(self.shape) else _even(keep)

    @cached_property
    @torch.inference_mode(False)
    def _known(self) -> Tensor:
        return self._square > 0

    @property
    def s(self) -> Tensor:
        return self._square[self._known].sqrt()

    def __call__(self, x: Tensor) -> Tensor:
        return self.zero_filled(parts(transform(joined(x) if is_complex(self.shape) else x)))

    def zero_filled(self, y: Tensor) -> Tensor:
        return y.where(self.keep.to(y.device), 0.0)

    def observed_entries(self, y: Tensor) -> Tensor:
        return y[..., self.keep.to(y.device)].flatten(1)

    def Vt(self, x: Tensor) -> Tensor:
        c = parts(transform(joined(x))) if is_complex(self.shape) else _hartley(x)
        return c[..., self._known.to(x.device)]

    def V(self, c: Tensor) -> Tensor:
        full = self._placed(c)
        return parts(inverse(joined(full))) if is_complex(self.shape) else _hartley(full)

    def Ut(self, y: Tensor) -> Tensor:
        y = self.zero_filled(y)
        c = y if is_complex(self.shape) else _even(y.select(-3, 0)) - _odd(y.select(-3, 1))
        return c[..., self._known.to(y.device)] / self.s.to(y)

    def U(self, c: Tensor) -> Tensor:
        full = self._placed(c / self.s.to(c))
        return self.zero_filled(full if is_complex(self.shape) else torch.stack([_even(full), -_odd(full)], -3))

    def _placed(self, c: Tensor) -> Tensor:
        """The coordinates in their positions, (B, C, H, W), zero where nothing is measured."""
        full = c.new_zeros(*c.shape[:-1], *self.shape[1:])
        full[..., self._known.to(c.device)] = c
        return full

    def drawing(self, y: Tensor) -> tuple[str, Tensor]:
        return draw(y, self.shape)


def draw(y: Tensor, shape: tuple[int, ...]) -> tuple[str, Tensor]:
    """The magnitude of k-space (B, ..., 2, H, W) of images of ``shape``; several coils in a grid."""
    magnitude = y.square().sum(-3).sqrt()
    magnitude = magnitude[:, None] if is_complex(shape) else magnitude
    if magnitude.ndim == 5:
        columns = math.ceil(math.sqrt(magnitude.shape[2]))
        full = F.pad(magnitude, (0, 0, 0, 0, 0, -magnitude.shape[2] % columns))
        magnitude = full.unflatten(2, (-1, columns)).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return "k-space, log magnitude", in_colour(decades(magnitude))


def _hartley(x: Tensor) -> Tensor:
    k = transform(x)
    return k.real - k.imag


def _mirrored(a: Tensor) -> Tensor:
    """a(-k) of a(k), (..., H, W): where a side is even, its first frequency is its own mirror image."""
    return a.flip((-2, -1)).roll([1 - side % 2 for side in a.shape[-2:]], (-2, -1))


def _even(a: Tensor) -> Tensor:
    return (a + _mirrored(a)) / 2


def _odd(a: Tensor) -> Tensor:
    return (a - _mirrored(a)) / 2

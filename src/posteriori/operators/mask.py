"""Inpainting: A keeps the pixels under a mask. y has the image's shape, and is zero where pixels are hidden."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.svd import SVDOperator


@dataclass(frozen=True)
class Masking(SVDOperator):
    """A keeps the entries of x for which ``keep`` is true."""

    averages: ClassVar[bool] = True
    selects: ClassVar[bool] = True

    @cached_property
    @abstractmethod
    def keep(self) -> Tensor:
        """True where the image is observed, of ``shape``."""

    @property
    def s(self) -> Tensor:
        return torch.ones(())

    def zero_filled(self, y: Tensor) -> Tensor:
        return y.where(self.keep.to(y.device), 0.0)  # a product would leave -0.0, and another image key

    def observed_entries(self, y: Tensor) -> Tensor:
        return y[:, self.keep.to(y.device)]

    def Ut(self, y: Tensor) -> Tensor:
        return self.observed_entries(y)

    def U(self, c: Tensor) -> Tensor:
        y = c.new_zeros(len(c), *self.shape)
        y[:, self.keep.to(c.device)] = c
        return y

    def Vt(self, x: Tensor) -> Tensor:
        return self.observed_entries(x)

    def V(self, c: Tensor) -> Tensor:
        return self.U(c)

    def __call__(self, x: Tensor) -> Tensor:
        return self.zero_filled(x)


@final
@dataclass(frozen=True)
class BoxMask(Masking):
    """Inpainting: a square is hidden.

    The report hides 50 x 50 of 256 x 256. By default the square is centred and has a side of round(50 H / 256) pixels.
    Values that you give are not rescaled.

    Paper: the report, "Diffusion Models for Solving Inverse Problems", section 3.2.
    """

    name: ClassVar[str] = "box-mask"

    size: Annotated[int | None, Ge(1), "side of the hidden square, in pixels; none: round(50 H / 256)"] = None
    top: Annotated[int | None, Ge(0), "first row of the square, counted from 0; none: centred"] = None
    left: Annotated[int | None, Ge(0), "first column of the square, counted from 0; none: centred"] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        height, width = self.shape[-2:]
        size = int(50 * height / 256 + 0.5) if self.size is None else self.size
        top = (height - size) // 2 if self.top is None else self.top
        left = (width - size) // 2 if self.left is None else self.left
        if size < 1 or top < 0 or left < 0 or top + size > height or left + size > width:
            raise PosterioriError(
                f"a box of {size} pixels at top {top}, left {left} does not lie in {height} x {width}: "
                "make it smaller or move it"
            )
        if size == height == width:
            raise PosterioriError(f"a box of {size} pixels hides all of {height} x {width}: make it smaller")
        for name, value in (("size", size), ("top", top), ("left", left)):
            object.__setattr__(self, name, value)

    @cached_property
    @torch.inference_mode(False)
    def keep(self) -> Tensor:
        hidden = torch.zeros(self.shape, dtype=torch.bool)
        top, left, size = (int(value or 0) for value in (self.top, self.left, self.size))
        hidden[..., top : top + size, left : left + size] = True
        return ~hidden


@final
@dataclass(frozen=True, eq=False)
class Mask(Masking):
    """Inpainting: the pixels where a mask is false are hidden.

    The mask is a tensor or an array, of booleans or of zeros and one other number.
    """

    name: ClassVar[str] = "mask"

    mask: Annotated[Tensor, "true where the picture is observed; it broadcasts to the shape"] = field(
        default_factory=lambda: torch.ones((), dtype=torch.bool), repr=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "mask", _booleans(self.mask))
        try:
            keep = self.mask.expand(self.shape)
        except RuntimeError:
            raise PosterioriError(
                f"the mask is {tuple(self.mask.shape)}; the images are {self.shape}: give the same size"
            ) from None
        if not keep.any():
            raise PosterioriError("the mask hides every pixel: nothing is left to restore from")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and self.shape == other.shape and torch.equal(self.keep, other.keep)

    def __hash__(self) -> int:
        return hash(self.shape)

    @cached_property
    @torch.inference_mode(False)
    def keep(self) -> Tensor:
        return self.mask.expand(self.shape).clone(memory_format=torch.contiguous_format)


def _booleans(mask: Tensor | np.ndarray) -> Tensor:
    values = mask if isinstance(mask, Tensor) else np.asarray(mask)
    number = isinstance(values, Tensor) or values.dtype.kind in "biuf"
    keep = values != 0
    kept = values[keep]
    if not number or (len(kept) and not (kept == kept[0]).all()):
        raise PosterioriError(
            "the mask holds more than two values: give True where the picture is observed and False where it is hidden"
        )
    return keep if isinstance(keep, Tensor) else torch.from_numpy(np.array(keep))

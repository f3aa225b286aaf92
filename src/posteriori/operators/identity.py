"""Denoising: A = I."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from posteriori.operators.svd import Orthogonal


@final
@dataclass(frozen=True)
class Identity(Orthogonal):
    """Denoising: y is the picture with noise."""

    name: ClassVar[str] = "identity"
    pixel_fields: ClassVar[tuple[str, ...] | None] = ()
    averages: ClassVar[bool] = True
    selects: ClassVar[bool] = True

    def V(self, c: Tensor) -> Tensor:
        return c

    def Vt(self, x: Tensor) -> Tensor:
        return x

"""Denoising: A = I."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from posteriori.operators.svd import SVDOperator


@final
@dataclass(frozen=True)
class Identity(SVDOperator):
    """Denoising: y is the picture and the noise."""

    name: ClassVar[str] = "identity"
    averages: ClassVar[bool] = True
    selects: ClassVar[bool] = True

    @property
    def s(self) -> Tensor:
        return torch.ones(())

    def U(self, c: Tensor) -> Tensor:
        return c

    def Ut(self, y: Tensor) -> Tensor:
        return y

    def V(self, c: Tensor) -> Tensor:
        return c

    def Vt(self, x: Tensor) -> Tensor:
        return x

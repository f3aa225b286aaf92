"""Any linear measurement of a small image, as a matrix."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.svd import SVDOperator, svd


@final
@dataclass(frozen=True, eq=False)
class Dense(SVDOperator):
    """Any linear measurement of a small image: y = M vec(x), (B, m)."""

    name: ClassVar[str] = "dense"

    matrix: Annotated[Tensor, "M, (m, n) for the n entries of the shape"] = field(
        default_factory=lambda: torch.empty(0, 0), repr=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        n = torch.Size(self.shape).numel()
        if self.matrix.ndim != 2 or not len(self.matrix) or self.matrix.shape[1] != n:
            raise PosterioriError(
                f"the matrix is {tuple(self.matrix.shape)}; images of {self.shape} need (m, {n}) with m > 0"
            )

    @cached_property
    @torch.inference_mode(False)
    def _factors(self) -> tuple[Tensor, ...]:
        return tuple(factor.to(self.matrix.dtype) for factor in svd(self.matrix))

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T.to(x)

    @property
    def s(self) -> Tensor:
        return self._factors[1]

    def U(self, c: Tensor) -> Tensor:
        return c @ self._factors[0].T.to(c)

    def Ut(self, y: Tensor) -> Tensor:
        return y @ self._factors[0].to(y)

    def V(self, c: Tensor) -> Tensor:
        return (c @ self._factors[2].to(c)).unflatten(1, self.shape)

    def Vt(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self._factors[2].T.to(x)

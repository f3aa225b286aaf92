"""Super-resolution: A averages blocks of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, final

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.separable import Separable
from posteriori.operators.svd import SVDOperator


@final
@dataclass(frozen=True)
class Downsample(Separable):
    """Super-resolution: every block of pixels is replaced by its mean.

    y is (B, C, H / factor, W / factor), and A A^T = I / factor^2.
    """

    name: ClassVar[str] = "downsample"
    averages: ClassVar[bool] = True
    selects: ClassVar[bool] = True

    factor: Annotated[int, Ge(1), "side of a block, in pixels; it divides both sides of the picture"] = 4

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        channels, height, width = measured
        factor = fields.get("factor", cls.factor)
        return channels, factor * height, factor * width

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(side % self.factor for side in self.shape[-2:]):
            raise PosterioriError(
                f"factor is {self.factor}: give a divisor of both sides of {self.shape[-2]} x {self.shape[-1]}"
            )

    @cached_property
    @torch.inference_mode(False)
    def matrices(self) -> tuple[Tensor, Tensor]:
        height, width = (torch.eye(side // self.factor, dtype=torch.float64) for side in self.shape[-2:])
        block = torch.full((1, self.factor), 1 / self.factor, dtype=torch.float64)
        return torch.kron(height, block), torch.kron(width, block)

    __call__ = SVDOperator.__call__

    @property
    def s(self) -> Tensor:
        return torch.tensor(1 / self.factor)

    def U(self, c: Tensor) -> Tensor:
        return c

    def Ut(self, y: Tensor) -> Tensor:
        return y

    def Vt(self, x: Tensor) -> Tensor:
        return self.factor * F.avg_pool2d(x, self.factor)

    def V(self, c: Tensor) -> Tensor:
        return c.repeat_interleave(self.factor, -1).repeat_interleave(self.factor, -2) / self.factor

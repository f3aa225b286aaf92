"""Few grey levels: A rounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Le
from torch import Tensor

from posteriori.operators.rounding import Rounding, mean_within, rest_within, rounded


@final
@dataclass(frozen=True)
class BitDepth(Rounding):
    """Dequantisation: every value is rounded to one of 2^bits levels from -1 to 1.

    With L = 2^bits - 1, y = 2 round(L (x + 1) / 2) / L - 1, clipped to [-1, 1]. The cells of the first and last level
    are taken to extend three steps beyond it. Gradients pass through the rounding and the clipping unchanged.
    """

    name: ClassVar[str] = "bit-depth"
    averages: ClassVar[bool] = True

    bits: Annotated[int, Ge(1), Le(16), "bits per channel; ordinary pictures have 8"] = 3

    @property
    def step(self) -> float:
        """The distance of two levels, on the [-1, 1] scale."""
        return 2 / (2**self.bits - 1)

    def __call__(self, x: Tensor) -> Tensor:
        level = rounded((x + 1) / self.step)
        inside = level.clamp(0, 2**self.bits - 1)
        return (level + (inside - level).detach()) * self.step - 1

    def initial_estimate(self, y: Tensor) -> Tensor:
        return y

    def conditional_mean(self, z: Tensor, y: Tensor, std: float) -> Tensor:
        return mean_within(z, *self._cells(y), std)

    def whitening(self, n: Tensor, z: Tensor, y: Tensor, std: float, sigma: float) -> Tensor:
        return sigma * rest_within(z, *self._cells(y), std, sigma) * n

    def _cells(self, y: Tensor) -> tuple[Tensor, Tensor]:
        y, half = self(y), self.step / 2
        low = torch.where(y < -1 + half, -1 - 6 * half, y - half)
        return low, torch.where(y > 1 - half, 1 + 6 * half, y + half)

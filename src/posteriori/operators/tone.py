"""Tone curves: clipped highlights and shadows, and gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.operators.base import Operator


@final
@dataclass(frozen=True)
class HDR(Operator):
    """High dynamic range: the contrast is scaled, and values out of range are clipped: y = clip(scale x, -1, 1).

    As in the official codes, the gradient is 0 where A(x) is clipped: there y only says that x is out of range.

    Paper: Mardani et al. 2024, "A variational perspective on solving inverse problems with diffusion models", section
    5.
    """

    name: ClassVar[str] = "hdr"
    pixel_fields: ClassVar[tuple[str, ...] | None] = ()
    averages: ClassVar[bool] = True

    scale: Annotated[float, Ge(1), "factor of x before clipping"] = 2.0

    def __call__(self, x: Tensor) -> Tensor:
        return (self.scale * x).clamp(-1, 1)

    def initial_estimate(self, y: Tensor) -> Tensor:
        return y.clamp(-1, 1) / self.scale


#: intensity below which the curve is its tangent, since the slope of a power is 0 or infinite at black
_TOE = 1e-2


@final
@dataclass(frozen=True)
class Gamma(Operator):
    """Gamma correction: y = 2 I^gamma - 1, with the intensity I = (x + 1) / 2.

    Below an intensity of 0.01 the curve is continued by its tangent, so that the slope at black is neither 0 nor
    infinite. Video standards have such a straight toe, too.

    Source: ITU-R BT.709-6, item 1.2, for the toe; 2.2 is the gamma of displays.
    """

    name: ClassVar[str] = "gamma"
    pixel_fields: ClassVar[tuple[str, ...] | None] = ()
    averages: ClassVar[bool] = True

    gamma: Annotated[float, Gt(0), "the exponent: above 1 darkens, below 1 brightens"] = 2.2

    @property
    def _slope(self) -> float:
        return self.gamma * _TOE ** (self.gamma - 1)

    def __call__(self, x: Tensor) -> Tensor:
        intensity = (x + 1) / 2
        power = intensity.clamp(min=_TOE)
        return 2 * (power**self.gamma + self._slope * (intensity - power)) - 1

    def initial_estimate(self, y: Tensor) -> Tensor:
        toe = _TOE**self.gamma
        value = ((y + 1) / 2).clamp(min=toe - self._slope * _TOE)  # of black
        tangent = _TOE + (value - toe) / self._slope
        return 2 * torch.where(value > toe, value.clamp(min=toe) ** (1 / self.gamma), tangent) - 1

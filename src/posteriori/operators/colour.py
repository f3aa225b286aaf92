"""Lost colour: grey pictures, one colour per pixel, and a missing channel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, final

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.drawing import in_colour
from posteriori.operators.linear import LinearOperator
from posteriori.operators.mask import Masking
from posteriori.operators.svd import Orthogonal

Channel = Literal["red", "green", "blue"]
_WEIGHTS = {"mean": (0.3333, 0.3334, 0.3333), "rec601": (0.299, 0.587, 0.114)}


class OfColours(LinearOperator):
    """An operator for images of three channels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shape) != 3 or self.shape[0] != 3:
            raise PosterioriError(
                f"{self.name} takes colour images, and these are {self.shape}: give (3, height, width)"
            )


@final
@dataclass(frozen=True)
class Grey(OfColours, Orthogonal):
    """Colourisation: y = w_r R + w_g G + w_b B, (B, 1, H, W).

    The mean has the weights of DDRM's and DDNM's code, (.3333, .3334, .3333). rec601 is luma, (.299, .587, .114).

    Paper: Kawar et al. 2022, "Denoising diffusion restoration models", section 5.
    """

    name: ClassVar[str] = "grey"
    pixel_fields: ClassVar[tuple[str, ...] | None] = ()
    averages: ClassVar[bool] = True
    selects: ClassVar[bool] = True

    weights: Annotated[Literal["mean", "rec601"], "weights of the three channels"] = "mean"

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        return 3, *measured[1:]

    @cached_property
    @torch.inference_mode(False)
    def _w(self) -> Tensor:
        return torch.tensor(_WEIGHTS[self.weights], dtype=torch.float64).view(3, 1, 1)

    @property
    def s(self) -> Tensor:
        return self._w.norm()

    def Vt(self, x: Tensor) -> Tensor:
        return (x * (self._w / self._w.norm()).to(x)).sum(1, keepdim=True)

    def V(self, c: Tensor) -> Tensor:
        return c * (self._w / self._w.norm()).to(c)

    def initial_estimate(self, y: Tensor) -> Tensor:
        """The grey picture, in three equal channels."""
        return y.expand(-1, 3, -1, -1).contiguous()

    def drawing(self, y: Tensor) -> tuple[str, Tensor]:
        return "measurement", in_colour(y)


@final
@dataclass(frozen=True)
class Bayer(OfColours, Masking):
    """Demosaicing: every pixel has one colour, as on a camera's sensor.

    Counted from 0, red is at odd rows and odd columns, blue at even rows and even columns, and green at the others.

    Paper: Bayer 1976, "Color imaging array", US patent 3971065.
    """

    name: ClassVar[str] = "bayer"

    @cached_property
    @torch.inference_mode(False)
    def keep(self) -> Tensor:
        keep = torch.zeros(self.shape, dtype=torch.bool)
        keep[0, 1::2, 1::2] = keep[2, ::2, ::2] = True
        keep[1, 1::2, ::2] = keep[1, ::2, 1::2] = True
        return keep


@final
@dataclass(frozen=True)
class ChannelLoss(OfColours, Masking):
    """Colourisation: one of the three channels is missing."""

    name: ClassVar[str] = "channel-loss"
    pixel_fields: ClassVar[tuple[str, ...] | None] = ()

    channel: Annotated[Channel, "the missing channel"] = "blue"

    @cached_property
    @torch.inference_mode(False)
    def keep(self) -> Tensor:
        keep = torch.ones(self.shape, dtype=torch.bool)
        keep[("red", "green", "blue").index(self.channel)] = False
        return keep

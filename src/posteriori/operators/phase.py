"""Phase retrieval: A gives the magnitudes of a Fourier transform, without the phases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, final

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.base import Operator
from posteriori.operators.drawing import decades, in_colour

#: Fienup's feedback, and the rounds for an initial estimate: more change little at 64 pixels
_BETA, _ROUNDS = 0.9, 200


@final
@dataclass(frozen=True)
class PhaseRetrieval(Operator):
    """Phase retrieval: y = |F(pad(x))|, the magnitudes of an oversampled Fourier transform of each channel.

    F is the centred orthonormal 2-D FFT. pad adds int(oversample / 8 side) black pixels at each side: by default 64 for
    256, so that y is (B, C, 1.5 H, 1.5 W). With ``values`` "0..1" the picture is first mapped to [0, 1], as in DAPS and
    PnP-DM; DPS and InverseBench keep it on [-1, 1]. The magnitudes do not determine the orientation (a picture turned
    by 180 degrees has the same) and hardly the position, so that samples can differ widely.

    The initial estimate is Fienup's hybrid input-output algorithm from fixed random phases, in 200 rounds, with the
    frame and the range as constraints. It often ends in a mixture of the picture and the turned picture.

    Paper: Chung et al. 2023, "Diffusion posterior sampling for general noisy inverse problems", section 4; Fienup 1982,
    "Phase retrieval algorithms: a comparison".
    """

    name: ClassVar[str] = "phase-retrieval"
    ambiguous: ClassVar[bool] = True

    oversample: Annotated[float, Ge(0), "black padding: oversample / 8 of the side at each end"] = 2.0
    values: Annotated[Literal["0..1", "-1..1"], "range of the picture before the transform, black to white"] = "0..1"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shape) != 3:
            raise PosterioriError(f"phase-retrieval is for pictures (C, H, W): the shape is {self.shape}")

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        share = 1 + fields.get("oversample", cls.oversample) / 4
        channels, *sides = measured
        return channels, *(round(side / share) for side in sides)

    @cached_property
    def _pads(self) -> tuple[int, int]:
        """Rows above and below, columns left and right."""
        height, width = (int(self.oversample / 8 * side) for side in self.shape[-2:])
        return height, width

    def _padded(self, x: Tensor) -> Tensor:
        (rows, columns), value = self._pads, (x + 1) / 2 if self.values == "0..1" else x
        return F.pad(value, (columns, columns, rows, rows))

    def _inside(self, padded: Tensor) -> Tensor:
        (rows, columns), (height, width) = self._pads, self.shape[-2:]
        return padded[..., rows : rows + height, columns : columns + width]

    def __call__(self, x: Tensor) -> Tensor:
        padded = self._padded(x)
        half = torch.fft.rfft2(padded, norm="ortho").abs()  # of a real image, |F| is the same at -u as at u
        rest = half[..., 1 : (padded.shape[-1] + 1) // 2].flip((-2, -1)).roll(1, -2)
        return torch.fft.fftshift(torch.cat([half, rest], -1), dim=(-2, -1))

    def initial_estimate(self, y: Tensor) -> Tensor:
        magnitude, low = y.double().clamp(min=0), 0.0 if self.values == "0..1" else -1.0
        frame = self._padded(torch.ones(1, *self.shape, dtype=y.dtype, device=y.device)) > 0
        draws = torch.rand(self.measured_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        phase = torch.polar(torch.ones_like(draws), 2 * torch.pi * draws).to(y.device)
        x = _inverse(magnitude * phase).real
        for _ in range(_ROUNDS):
            spectrum = _transform(x)
            found = _inverse(magnitude * torch.exp(1j * spectrum.angle())).real
            allowed = frame & (found >= low) & (found <= 1)
            x = torch.where(allowed, found, x - _BETA * found)
        x = self._inside(found).clamp(low, 1).to(y.dtype)
        return 2 * x - 1 if self.values == "0..1" else x

    def drawing(self, y: Tensor) -> tuple[str, Tensor]:
        return "Fourier magnitudes, logarithm", in_colour(decades(y.abs()))


def _transform(x: Tensor) -> Tensor:
    """The centred orthonormal 2-D FFT."""
    return torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(x, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))


def _inverse(y: Tensor) -> Tensor:
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(y, dim=(-2, -1)), norm="ortho"), dim=(-2, -1))

"""Compressed sensing: a share of an image's coefficients in an orthonormal basis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, final

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.drawing import decades, in_colour
from posteriori.operators.kspace import KSpace, pixels
from posteriori.operators.svd import Orthogonal
from posteriori.rng import Purpose, generator

Share = Annotated[float, Gt(0), Le(1), "share of the coefficients that are measured"]
Seed = Annotated[int, Ge(0), "seed of their random order"]


@final
@dataclass(frozen=True)
class WalshHadamard(Orthogonal):
    """Compressed sensing: a random share of each channel's Walsh-Hadamard coefficients.

    y = (H vec(x))[first m of an order], (C, m), with m = round(share H W). The n x n matrix H has entries +-1 / sqrt(n)
    and is the Hadamard matrix in natural order, for the n = H W pixels row by row. H is orthonormal, so that noise of
    sigma on a coefficient is noise of sigma on a pixel. All channels share one order: coefficient 0, the mean of the
    picture, comes first and the others at random. Without it, the brightness of the picture would be unknown. H W must
    be a power of two.

    Paper: Kawar et al. 2022, "Denoising diffusion restoration models", appendix D. Its code draws coefficient 0 like
    the others, and divides by the side of a square picture.
    """

    name: ClassVar[str] = "walsh-hadamard"

    share: Share = 0.25
    seed: Seed = 0

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        """For square pictures."""
        channels, m = measured
        side = math.isqrt(round(m / fields.get("share", cls.share)))
        return channels, side, side

    def __post_init__(self) -> None:
        super().__post_init__()
        height, width = pixels(self.shape)
        if (height * width).bit_count() != 1:
            raise PosterioriError(
                f"{height} x {width} pixels are not a power of two, which the Walsh-Hadamard transform needs: "
                "take pictures like 64 x 64"
            )
        if not self._m:
            raise PosterioriError(f"share is {self.share}: of {height} x {width} pixels that is nothing, give more")

    @property
    def _m(self) -> int:
        return round(self.share * math.prod(self.shape[1:]))

    @cached_property
    @torch.inference_mode(False)
    def chosen(self) -> Tensor:
        """The coefficients that are measured, (m,), in the order of y."""
        others = torch.randperm(math.prod(self.shape[1:]) - 1, generator=generator(self.seed, Purpose.OPERATOR)) + 1
        return torch.cat([torch.zeros(1, dtype=torch.int64), others])[: self._m]

    def Vt(self, x: Tensor) -> Tensor:
        return fwht(x.flatten(2))[..., self.chosen.to(x.device)]

    def V(self, c: Tensor) -> Tensor:
        return fwht(self._placed(c)).unflatten(2, self.shape[1:])

    def _placed(self, c: Tensor) -> Tensor:
        """All n coefficients, with zeros for those not measured."""
        full = c.new_zeros(*c.shape[:2], math.prod(self.shape[1:]))
        full[..., self.chosen.to(c.device)] = c
        return full

    def drawing(self, y: Tensor) -> tuple[str, Tensor]:
        magnitude = self._placed(y).abs().unflatten(2, self.shape[1:])
        return "Walsh coefficients, log magnitude", in_colour(decades(magnitude))


@final
@dataclass(frozen=True)
class Fourier(KSpace):
    """Compressed sensing: a random share of the points of each channel's Fourier transform.

    y = M F x, (C, 2, H, W), with real and imaginary part, zero where M measures nothing, and the zero frequency in the
    middle. F is the orthonormal discrete Fourier transform. M keeps a block of low frequencies and draws the other
    points uniformly, round(share H W) in all, the same for all channels. A picture of two channels is complex: y is (2,
    H, W).

    A real picture has conjugate values at mirrored frequencies. If one of the two is measured, the other is known, with
    the same noise. If both are measured, the variance of the noise is halved.

    Paper: Lustig, Donoho and Pauly 2007, "Sparse MRI", Magnetic Resonance in Medicine 58, for random points of k-space
    with a dense middle.
    """

    name: ClassVar[str] = "fourier"

    share: Share = 0.25
    centre: Annotated[float, Ge(0), Le(1), "side of the block of low frequencies, as a share of the picture's"] = 0.08
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        height, width = pixels(self.shape)
        m, middle = round(self.share * height * width), int(self._block.sum())
        if not m or m < middle:
            raise PosterioriError(
                f"share is {self.share}, {m} of {height} x {width} points, and the middle has {middle}: "
                "raise share or lower centre"
            )

    @property
    def _block(self) -> Tensor:
        block = torch.zeros(self.shape[1:], dtype=torch.bool)
        rows, columns = (_middle(side, round(self.centre * side)) for side in self.shape[1:])
        block[rows, columns] = True
        return block

    @cached_property
    @torch.inference_mode(False)
    def keep(self) -> Tensor:
        keep = self._block
        others = (~keep).flatten().nonzero().flatten()
        order = torch.randperm(len(others), generator=generator(self.seed, Purpose.OPERATOR))
        keep.view(-1)[others[order[: round(self.share * keep.numel()) - int(keep.sum())]]] = True
        return keep


def fwht(x: Tensor) -> Tensor:
    """The orthonormal Walsh-Hadamard transform in natural order, its own inverse: (..., n), n a power of two."""
    n, h = x.shape[-1], 1
    while h < n:
        a, b = x.unflatten(-1, (-1, 2, h)).unbind(-2)
        x, h = torch.stack([a + b, a - b], -2).flatten(-3), 2 * h
    return x / math.sqrt(n)


def _middle(side: int, width: int) -> slice:
    first = (side - width + 1) // 2
    return slice(first, first + width)

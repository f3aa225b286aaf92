"""JPEG: A compresses and decompresses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, final

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Ge, Le
from scipy.fft import dct
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.rounding import Rounding, mean_within, rest_within, rounded

#: Annex K.1 of ITU-T T.81, table K.1 (luminance) and K.2 (chrominance), rows of vertical frequency
_LUMINANCE = """
16 11 10 16 24 40 51 61    12 12 14 19 26 58 60 55    14 13 16 24 40 57 69 56    14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMINANCE = (
    """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
"""
    + "99 " * 32
)
#: JFIF's Y, Cb and Cr of R, G and B
_YCBCR = [[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]]


@final
@dataclass(frozen=True)
class JPEG(Rounding):
    """JPEG compression: rounded cosine coefficients of 8 x 8 blocks, in coarser steps at lower quality.

    On [0, 255]: conversion to YCbCr, chroma averaged over 2 x 2 pixels (4:2:0), orthonormal DCT of 8 x 8 blocks,
    division by the tables of Annex K, rounding, and the inverse of all that, with chroma by the triangle filter of the
    reference decoder ("fancy upsampling"). The tables are scaled by s = 5000 / quality below 50 and 200 - 2 quality
    from 50 on, floor((s Q + 50) / 100) in [1, 255]. Pictures are extended by their last pixels to multiples of 16. y is
    the decoded picture, not clipped. A real decoder (Pillow) gives the same up to its rounding to bytes, so that JPEG
    files can be read as y. No noise is added after that: use ``--noise 0``.

    Gradients pass through the rounding unchanged. The coefficients can be recovered from y. ``conditional_mean`` treats
    the coefficients of x as independent, with the variances of their planes, and changes as little of YCbCr as
    possible.

    Paper: ITU-T T.81 (1992); Kawar et al. 2022, "JPEG artifact correction using denoising diffusion restoration
    models", whose decoder repeats chroma instead.
    """

    name: ClassVar[str] = "jpeg"
    averages: ClassVar[bool] = True
    overshoot: ClassVar[float] = 1.0  # y is not clipped, and rings at low quality

    quality: Annotated[int, Ge(1), Le(100), "quality setting of the encoder, on the scale of Pillow and libjpeg"] = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shape) != 3 or self.shape[0] != 3:
            raise PosterioriError(f"jpeg is for colour pictures (3, H, W): the shape is {self.shape}")

    @cached_property
    @torch.inference_mode(False)
    def _tables(self) -> tuple[Tensor, Tensor]:
        """The steps of luminance and chrominance, (8, 8) each, float64."""
        luminance, chrominance = (torch.from_numpy(table).double() for table in quantisation_tables(self.quality))
        return luminance, chrominance

    @cached_property
    @torch.inference_mode(False)
    def _colours(self) -> tuple[Tensor, Tensor]:
        """To YCbCr and back, (3, 3) each, float64."""
        forward = torch.tensor(_YCBCR, dtype=torch.float64)
        return forward, torch.linalg.inv(forward)

    @cached_property
    @torch.inference_mode(False)
    def _triangles(self) -> tuple[Tensor, Tensor]:
        """The triangle filter from half the rows to all of them, and the same for columns."""
        rows, columns = (_triangle(-(-side // 16) * 8) for side in self.shape[-2:])
        return rows, columns

    @cached_property
    @torch.inference_mode(False)
    def _sharpened(self) -> tuple[Tensor, Tensor]:
        """Inverses of the triangle filter, from means over pairs of rows to its input, and the same for columns."""
        rows, columns = (torch.linalg.inv(own.unflatten(0, (-1, 2)).mean(1)) for own in self._triangles)
        return rows, columns

    def _planes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Luminance - 128, (B, 1, H, W), and chrominance, (B, 2, H / 2, W / 2), of ``x`` in multiples of 16."""
        height, width = self.shape[-2:]
        x = F.pad(127.5 * (x + 1), (0, -width % 16, 0, -height % 16), mode="replicate")
        planes = torch.einsum("ij,bjhw->bihw", self._colours[0].to(x), x)
        return planes[:, :1] - 128, F.avg_pool2d(planes[:, 1:], 2)

    def _encoded(self, planes: tuple[Tensor, Tensor]) -> list[Tensor]:
        """Coefficients divided by their steps, of luminance and of chrominance."""
        return [_dct(plane) / _tiled(q, plane) for plane, q in zip(planes, self._tables, strict=True)]

    def _unrounded(self, coefficients: list[Tensor]) -> list[Tensor]:
        """The planes of coefficients divided by their steps."""
        return [_idct(c * _tiled(q, c)) for c, q in zip(coefficients, self._tables, strict=True)]

    def _picture(self, luminance: Tensor, chrominance: Tensor) -> Tensor:
        """The picture of these planes, (B, 3, H, W); of a difference if luminance is less 128."""
        x = torch.einsum("ij,bjhw->bihw", self._colours[1].to(luminance), torch.cat([luminance, chrominance], 1))
        return x[..., : self.shape[-2], : self.shape[-1]] / 127.5

    def __call__(self, x: Tensor) -> Tensor:
        luminance, chrominance = self._unrounded([rounded(c) for c in self._encoded(self._planes(x))])
        rows, columns = (own.to(x) for own in self._triangles)
        return self._picture(luminance + 128, rows @ chrominance @ columns.T) - 1

    def coefficients(self, y: Tensor) -> list[Tensor]:
        """The whole numbers that the decoded pictures ``y`` come from: luminance and chrominance."""
        luminance, chrominance = self._planes(y)
        rows, columns = (own.to(y) for own in self._sharpened)
        return [c.round() for c in self._encoded((luminance, rows @ chrominance @ columns.T))]

    def initial_estimate(self, y: Tensor) -> Tensor:
        return y

    def conditional_mean(self, z: Tensor, y: Tensor, std: float) -> Tensor:
        moves = [mean_within(c, low, high, std * unit) - c for c, low, high, unit in self._cells(z, y)]
        return z + self._change(moves)

    def whitening(self, n: Tensor, z: Tensor, y: Tensor, std: float, sigma: float) -> Tensor:
        moves = []
        for noisy, (c, low, high, unit) in zip(self._encoded(self._planes(z + n)), self._cells(z, y), strict=True):
            moves.append((rest_within(c, low, high, std * unit, sigma * unit) - 1) * (noisy - c))
        return sigma * (n + self._change(moves))

    def _cells(self, z: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Coefficients of ``z`` divided by their steps, their bounds by ``y``, and their std if pixels have std 1."""
        # pixels are independent; a mean of four has half the std of one
        luminance, *chrominance = (127.5 * self._colours[0].norm(dim=1)).tolist()
        stds = torch.tensor(luminance), torch.tensor(chrominance)[:, None, None] / 2
        found = zip(self._encoded(self._planes(z)), self.coefficients(y), self._tables, stds, strict=True)
        return [(c, k - 0.5, k + 0.5, own.to(c) / _tiled(q, c)) for c, k, q, own in found]

    def _change(self, moves: list[Tensor]) -> Tensor:
        """The smallest change of a picture that moves its coefficients by so many steps."""
        luminance, chrominance = self._unrounded(moves)
        return self._picture(luminance, chrominance.repeat_interleave(2, -1).repeat_interleave(2, -2))


def quantisation_tables(quality: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps of luminance and chrominance, (8, 8) whole numbers each, at libjpeg's ``quality``."""
    s = 5000 // quality if quality < 50 else 200 - 2 * quality
    base = (np.array(text.split(), int).reshape(8, 8) for text in (_LUMINANCE, _CHROMINANCE))
    luminance, chrominance = (((s * q + 50) // 100).clip(1, 255) for q in base)
    return luminance, chrominance


def _dct(plane: Tensor) -> Tensor:
    """The coefficients of each 8 x 8 block, in place."""
    basis = torch.from_numpy(dct(np.eye(8), norm="ortho", axis=0)).to(plane)
    blocks = plane.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8))  # B, C, h, 8, w, 8
    return torch.einsum("ui,bchiwj,vj->bchuwv", basis, blocks, basis).flatten(-2).flatten(-3, -2)


def _idct(coefficients: Tensor) -> Tensor:
    basis = torch.from_numpy(dct(np.eye(8), norm="ortho", axis=0)).to(coefficients)
    blocks = coefficients.unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8))
    return torch.einsum("ui,bchuwv,vj->bchiwj", basis, blocks, basis).flatten(-2).flatten(-3, -2)


def _tiled(table: Tensor, near: Tensor) -> Tensor:
    return table.to(near).repeat(near.shape[-2] // 8, near.shape[-1] // 8)


def _triangle(n: int) -> Tensor:
    """(2n, n): every output is 3/4 of the nearer and 1/4 of the next input, the ends repeated."""
    matrix, at = torch.zeros(2 * n, n, dtype=torch.float64), torch.arange(n)
    for row, beside in ((2 * at, (at - 1).clamp(min=0)), (2 * at + 1, (at + 1).clamp(max=n - 1))):
        matrix[row, at] += 0.75
        matrix[row, beside] += 0.25
    return matrix

"""A convolutional prior at any size: its network sees the image in overlapping tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from posteriori.errors import PosterioriError
from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.schedule import Level


@final
class Tiled(Wrapped):
    """``prior`` for images of ``shape`` (C, H, W), mirrored to a multiple of its stride and cut into tiles.

    Every call denoises all tiles and blends them linearly over ``overlap`` pixels, so that a sampler sees one image and
    one x0. ``together`` tiles go through the network at once, by default as many as make it faster. Gradients go
    through all tiles, and keep the activations of ``together`` tiles at a time. An image of up to ``tile`` pixels a
    side is one tile. A learned variance is dropped.
    """

    def __init__(
        self, prior: Prior, shape: tuple[int, int, int], *, tile: int, overlap: int = 64, together: int | None = None
    ):
        super().__init__(prior)
        self.shape = shape
        self.learned_variance = False
        self.overlap = overlap
        stride = prior.stride
        sides = [-(-side // stride) * stride for side in shape[1:]]
        self.padding = (0, sides[1] - shape[2], 0, sides[0] - shape[1])
        if min(shape[1:]) <= max(self.padding):
            raise PosterioriError(f"{shape[2]} x {shape[1]} pixels are too few for {prior.name}: give {stride} a side")
        (self.size, self.starts) = zip(*(_cut(side, tile, overlap, stride) for side in sides), strict=True)
        self.tiles, self.tile_size = len(self.starts[0]) * len(self.starts[1]), self.size
        self.together = together or images_that_pay(prior.device, *self.size)

    def shadow(self) -> Prior:
        return self.prior.at((self.size[0], self.size[1])).shadow()  # one tile's activations are held at a time

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        padded = F.pad(x_t, self.padding, mode="reflect")
        x0, total = torch.zeros_like(padded), torch.zeros_like(padded[:1, :1])
        window = self._window(padded)
        height, width = self.size
        places = [(..., slice(y, y + height), slice(x, x + width)) for y in self.starts[0] for x in self.starts[1]]
        for some in _groups(places, max(1, self.together // len(x_t))):
            found = self._tiles(torch.cat([padded[here] for here in some]), t)
            for here, own in zip(some, found.split(len(x_t)), strict=True):
                x0[here] += window * own
                total[here] += window
        return Denoised((x0 / total)[..., : self.shape[1], : self.shape[2]])

    def _tiles(self, x_t: Tensor, t: Level) -> Tensor:
        def denoised(x: Tensor) -> Tensor:
            return self.prior.denoise(x, t).x0

        if self.tiles > 1 and torch.is_grad_enabled() and x_t.requires_grad:
            found = checkpoint(denoised, x_t, use_reentrant=False)
            assert isinstance(found, Tensor)
            return found
        return denoised(x_t)

    def _window(self, like: Tensor) -> Tensor:
        """Weights of a tile, (H, W): 1 inside, falling towards its sides over the overlap."""
        ramps = []
        for side in self.size:
            i = torch.arange(side, device=like.device, dtype=like.dtype)
            ramps.append((torch.minimum(i, side - 1 - i) + 1).clamp(max=self.overlap + 1) / (self.overlap + 1))
        return ramps[0][:, None] * ramps[1]


def images_that_pay(device: torch.device, height: int, width: int) -> int:
    """How many images in a network call make it faster per image: a single large one fills the processor."""
    return max(1, (16 * 256**2 if device.type == "cuda" else 8 * 64**2) // (height * width))


def _cut(side: int, tile: int, overlap: int, stride: int) -> tuple[int, list[int]]:
    """(length, starts): the fewest tiles of up to ``tile`` pixels that cover ``side``, a multiple of the stride."""
    count = 1 if side <= tile else math.ceil((side - overlap) / (tile - overlap))
    length = -(-(side + (count - 1) * overlap) // (count * stride)) * stride
    return length, [round(i * (side - length) / max(count - 1, 1) / stride) * stride for i in range(count)]


def _groups(places: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (places[i : i + size] for i in range(0, len(places), size))

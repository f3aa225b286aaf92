"""Random streams: one for each (seed, purpose, image, sample), so that no result depends on its neighbours."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import cached_property
from operator import index
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from posteriori.errors import PosterioriError

#: so many numbers cost about as much as the call that draws them
_AHEAD = 1024


class Purpose(IntEnum):
    """What a stream is for: with one seed, different purposes have independent numbers."""

    MEASUREMENT = 0
    SAMPLER = 1
    OPERATOR = 2
    RESAMPLING = 3


def image_key(image: Tensor) -> int:
    """A key from an image's content: a picture gets the same numbers, alone or in a folder."""
    data = image.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
    return int.from_bytes(hashlib.sha256(data).digest()[:4], "little")


def whole(seed: Any) -> int:
    """``seed`` as an int, for any type of whole number; PosterioriError if it is none."""
    try:
        number = index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise PosterioriError(f"seed is {seed!r}: give a whole number from 0 up")
    return number


def generator(seed: int, *key: int) -> torch.Generator:
    """The CPU generator that belongs to ``seed`` and ``key``: (purpose, image_key, j) for sample j of an image."""
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(map(int, key)))
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))


class Rng:
    """Normal and uniform numbers for a batch of rows, each row from its own generator.

    Rows are grouped by image: n rows for each key, its samples from ``first`` on. There is one ``seed`` for all, or one
    for each key. Numbers are drawn on the CPU in float32 and then moved to ``device``, so that a GPU gets the same
    numbers.
    """

    def __init__(
        self,
        seed: SupportsIndex | Sequence[int],
        keys: Sequence[int],
        n: int = 1,
        *,
        first: int = 0,
        purpose: Purpose = Purpose.SAMPLER,
        device: torch.device | str = "cpu",
    ):
        seeds = seed if isinstance(seed, list | tuple) else [whole(seed)] * len(keys)
        self.images = list(zip(seeds, keys, strict=True))
        self.generators = [generator(own, purpose, key, j) for own, key in self.images for j in range(first, first + n)]
        self.device = device
        self._ahead = torch.empty(len(self.generators), 0)

    def normal(self, shape: Iterable[int]) -> Tensor:
        """N(0, I), (B, *shape) float32, by the Box-Muller transform of uniform numbers.

        torch's own float32 normals differ in their last bits between instruction sets. Uniform numbers do not, nor do
        these, which are computed in float64.
        """
        shape = tuple(shape)
        size = math.prod(shape)
        u = self._next(-(-size // 16) * 16).unflatten(1, (-1, 2, 8)).double()  # torch's own order
        radius, angle = (-2 * torch.log1p(-u[:, :, 0])).sqrt(), 2 * math.pi * u[:, :, 1]
        draws = torch.stack([radius * angle.cos(), radius * angle.sin()], 2).flatten(1)[:, :size]
        return _moved(draws.float().reshape(len(draws), *shape), self.device)

    def uniform(self) -> Tensor:
        """A number in [0, 1) for each row, (B,) float32."""
        return _moved(self._next(1)[:, 0].clone(), self.device)

    def _next(self, count: int) -> Tensor:
        """The next ``count`` numbers in [0, 1) of each row's generator, (B, count); small draws are read ahead."""
        if count > self._ahead.shape[1]:
            more = max(count - self._ahead.shape[1], _AHEAD)
            drawn = [torch.rand(more, generator=own, dtype=torch.float32) for own in self.generators]
            self._ahead = torch.cat([self._ahead, torch.stack(drawn)], 1)
        taken, self._ahead = self._ahead[:, :count], self._ahead[:, count:]
        return taken

    @cached_property
    def resampling(self) -> Rng:
        """One row for each image, for numbers that an image's samples share."""
        seeds, keys = zip(*self.images, strict=True)
        return Rng(seeds, keys, purpose=Purpose.RESAMPLING, device=self.device)


def _moved(draws: Tensor, device: torch.device | str) -> Tensor:
    """``draws`` on ``device``; the host does not wait for a GPU."""
    device = torch.device(device)
    return draws.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else draws.to(device)


class Tape(Rng):
    """Recorded draws instead of generators, handed out in order, for any purpose."""

    def __init__(self, draws: Iterable[Tensor]):
        self.draws = iter(draws)

    @cached_property
    def resampling(self) -> Rng:
        return self

    def uniform(self) -> Tensor:
        return self.normal(())

    def normal(self, shape: Iterable[int]) -> Tensor:
        draw = next(self.draws, None)
        if draw is None:
            raise PosterioriError("the tape has run out of recorded draws")
        if draw.shape[1:] != tuple(shape):
            raise PosterioriError(
                f"the tape's next draw is {tuple(draw.shape[1:])}, the sampler asked for {tuple(shape)}"
            )
        return draw

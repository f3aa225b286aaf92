"""Whether pictures fit into memory, before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.jobs.memory import SHARE, free_memory, gib, memory_of_an_image, most_bytes
from posteriori.operators import Mask
from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.priors.tiled import Tiled
from posteriori.restore.inputs import Source, size_of
from posteriori.restore.restoration import Restoration
from posteriori.schedule import Level

#: pixels a side of the measurement on which a step's arrays are counted
COUNTED = 256
#: arrays of an image that reading, comparing and writing hold, those that scoring adds, and those of each sample
FILES, SCORES, EACH = 10, 25, 2
#: what the heap grows to for the arrays in it, as it keeps what was freed (12 megapixels: 450 bytes a pixel for 349)
GAPS = 1.3
#: bytes of a pixel that no usual sampler takes for a row
AMPLE = 2048


def too_large(restoration: Restoration, sources: Sequence[Source], processes: int = 1) -> dict[Source, PosterioriError]:
    """The ``sources`` that do not fit into memory, with a one-line error that says what to do.

    ``processes`` share the machine's memory. Priors of a fixed size resize pictures, and always take the same.
    """
    if not restoration.prior.any_size:
        return {}
    room, found = _Room(restoration, free_memory(restoration.prior.device) / processes), {}
    for source in sources:
        try:
            if size := size_of(source):
                room.admit(source, *size)
        except PosterioriError as error:
            found[source] = error
    return found


@final
@dataclass(frozen=True)
class _Room:
    """The memory of a restoration, of so many ``free`` bytes."""

    restoration: Restoration
    free: float

    def admit(self, source: Source, height: int, width: int) -> None:
        """PosterioriError if there is too little for a picture of this size."""
        method, prior, region = self.restoration.method, self.restoration.prior, self.restoration.region
        if region:
            height, width = min(height, region[3]), min(width, region[2])
        pixels = math.prod(self._shape(height, width)[-2:])  # of the image behind it
        if pixels * AMPLE * self.restoration.rows <= SHARE * self.free:
            return
        network = memory_of_an_image(prior.at((height, width)), gradient=method.gradient)
        needed = self.of_a_pixel * pixels + network
        if needed <= self.free:
            return
        side = math.sqrt(max(self.free - network, 0) / self.of_a_pixel * height * width / pixels) // 32 * 32
        part = f"a --region of about {side:.0f} x {side:.0f}, " if side else ""
        fewer = "fewer --samples, " if method.n > 1 else ""
        raise PosterioriError(
            f"{source.path} is {width} x {height} pixels, which take about {gib(needed)} of memory, and "
            f"{gib(self.free)} are free: give {part}{fewer}a reduced picture, or a machine with more memory"
        )

    def _shape(self, height: int, width: int) -> tuple[int, ...]:
        """Of the image behind a measurement of this size."""
        measured, chain = (self.restoration.prior.shape[0], height, width), self.restoration.operator
        return measured if self.restoration.simulate or chain is None else chain.image_shape(measured)

    @cached_property
    def of_a_pixel(self) -> float:
        """Bytes per pixel besides the network's: of the operator, the sampler, the sums of tiles, and files.

        Tensors are counted in a step on a small image, with a prior that computes nothing.
        """
        shape, n = self._shape(COUNTED, COUNTED), self.restoration.method.n
        image = 4 * math.prod(shape) * (FILES + EACH * n + SCORES * self.restoration.simulate)
        step = self.restoration.rows * most_bytes(lambda: self._step(shape))
        return GAPS * (step + image) / math.prod(shape[-2:])

    def _step(self, shape: tuple[int, ...]) -> None:
        setting = replace(self.restoration, _settings={}).setting(shape, 1.0)
        half = torch.ones(1, *shape[1:], dtype=torch.bool)
        half[..., : shape[-1] // 2] = False
        operator, x = setting.operator or Mask(shape, half), torch.zeros(1, *shape)
        prior = Tiled(_Mirror(setting.prior), (shape[0], shape[1], shape[2]), tile=COUNTED // 2, overlap=COUNTED // 16)
        setting.method.seconds(prior, setting.noise.likelihood(operator.zero_filled(operator(x)), operator))


class _Mirror(Wrapped):
    """A prior that returns x_t as x_0: a network's memory is counted separately."""

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        return Denoised(1.0 * x_t)

    def shadow(self) -> Prior:
        return self

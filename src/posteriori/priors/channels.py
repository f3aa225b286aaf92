"""A prior of grey pictures for colours: it sees each channel by itself."""

from __future__ import annotations

from typing import final

from torch import Tensor

from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.schedule import Level


@final
class EachChannel(Wrapped):
    """``prior``, whose images are (1, H, W), for images of three channels that it takes for independent ones."""

    def __init__(self, prior: Prior):
        super().__init__(prior)
        self.shape = (3, *prior.shape[1:])

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        x0, fraction, _ = self.prior.denoise(x_t.flatten(0, 1)[:, None], t)
        return Denoised(x0.view_as(x_t), None if fraction is None else fraction.view_as(x_t))

    def at(self, size: int | tuple[int, int]) -> Prior:
        return EachChannel(self.prior.at(size))

    def shadow(self) -> Prior:
        return EachChannel(self.prior.shadow())

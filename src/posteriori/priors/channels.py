"""A grey prior for colour images, channel by channel; and a colour prior for grey images."""

from __future__ import annotations

from typing import final

from torch import Tensor

from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.rng import Rng, image_key
from posteriori.schedule import Level


@final
class EachChannel(Wrapped):
    """``prior``, for images (1, H, W), applied to three channels as if they were independent."""

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


@final
class Grey(Wrapped):
    """``prior``, for images of C channels, applied to grey images at levels with alpha = 1, whose noise is grey, too.

    Noise sigma in C equal channels is sqrt(C) sigma along their sum, and nothing across. The network expects equal
    noise in all directions. It is therefore told sqrt(C) sigma, and noise of this level is added across the sum, drawn
    by ``seed`` and the image. The estimate has equal channels.
    """

    def __init__(self, prior: Prior, seed: int):
        super().__init__(prior)
        self.seed = seed

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        told = self.schedule.at_noise(t.sigma_bar * x_t.shape[1] ** 0.5)
        n = Rng(self.seed, [image_key(each) for each in x_t], device=x_t.device).normal(x_t.shape[1:])
        x0 = self.prior.denoise(x_t + told.sigma_bar * (n - n.mean(1, keepdim=True)).to(x_t), told).x0
        return Denoised(x0.mean(1, keepdim=True).expand_as(x0))


def is_grey(x: Tensor) -> Tensor:
    """Whether all channels of each of the images ``x`` (B, C, H, W) are equal, (B,)."""
    return (x == x[:, :1]).flatten(1).all(1)

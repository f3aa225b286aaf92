"""A prior of two networks: one for noisy levels, one for clean levels."""

from __future__ import annotations

import math
from typing import final

from torch import Tensor, nn

from posteriori.errors import PosterioriError
from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.schedule import Level


@final
class Experts(Wrapped):
    """``noisy`` at levels with sigma / alpha >= ``above``, and ``prior`` below (Balaji et al. 2022, section 4.1).

    At high noise the estimate depends on the picture as a whole, and details are hidden. A network that sees pixels
    folded into channels is then better and faster. Both networks estimate E[x_0 | x_t], which is the same function,
    whichever computes it. Raises PosterioriError if their shapes differ, or if only one learned a variance.
    """

    def __init__(self, prior: Prior, noisy: Prior, above: float):
        super().__init__(prior)
        if noisy.shape != prior.shape or noisy.learned_variance != prior.learned_variance:
            raise PosterioriError(
                f"the network of noisy levels is of {noisy.shape} and the other of {prior.shape}: give two of the same "
                "shape that both learned a variance, or neither"
            )
        self.noisy, self.above = noisy, above
        self.any_size = False
        self.stride = math.lcm(prior.stride, noisy.stride)

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        return (self.noisy if t.sigma_bar >= self.above else self.prior).denoise(x_t, t)

    def at(self, size: int | tuple[int, int]) -> Prior:
        noisy = self.noisy.at(size)  # first: it says so where the size is none of its own
        return Experts(self.prior.at(size), noisy, self.above)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (*self.prior.networks, *self.noisy.networks)

    def save_memory(self) -> bool:
        self.checkpointing = self.prior.save_memory() and self.noisy.save_memory()
        return self.checkpointing

    def shadow(self) -> Prior:
        return self.prior.shadow()  # of finer pixels, and so the one that takes more memory

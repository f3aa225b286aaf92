"""Removes camera noise with a denoiser of white noise: first at half the resolution, then at the full one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch.nn.functional as F
from torch import Tensor

from posteriori.jobs.cost import seconds_of_a_call
from posteriori.likelihoods import Likelihood, Noise
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.restore.methods import Drawn, Settled, Tick, denoised
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True)
class TwoScales:
    """The denoiser at half the resolution and then at the full one, with the same sigma: for camera noise.

    White noise loses half its sigma when 2 x 2 pixels are averaged. Camera noise is smoothed and hardly loses any: its
    spectrum falls as fast as the octaves widen, so that each octave has about the same sigma (``diagnosis.noise``). At
    full resolution, a denoiser with this sigma expects four times less noise at low frequencies than there is, and
    leaves blotches. So the lower octaves are denoised first, and then the last. With M the means over 2 x 2 pixels and
    U their interpolation,

        z = D(M y, sigma),  x_0 = D(y + U (z - M y), sigma).

    Both together take five quarters of the time of one network call.
    """

    n: ClassVar[int] = 1
    gradient: ClassVar[bool] = False

    def steps(self, schedule: Schedule) -> int:
        return 2

    def settled(self, prior: Prior, operator: Operator, noise: Noise) -> Settled:
        return TwoCalls(prior.schedule.at_noise(noise.level))


@final
@dataclass(frozen=True)
class TwoCalls:
    """The denoiser's estimates at ``level``, which has alpha = 1, at half the resolution and at the full one."""

    level: Level

    def takes(self, kind: type[Likelihood]) -> bool:
        return True

    def record(self, prior: Prior) -> dict[str, Any]:
        return {"t": self.level.t, "scales": [2, 1]}

    def describe(self, prior: Prior) -> list[tuple[str, str]]:
        return [("scales", "half the resolution, then the whole: the noise is a camera's, and not white")]

    def seconds(self, prior: Prior, like: Likelihood) -> float | None:
        return 1.25 * seconds_of_a_call(prior, self.level)

    def __call__(self, prior: Prior, like: Likelihood, y: Tensor, seed: int, batch: int, tick: Tick) -> Drawn:
        half = F.avg_pool2d(y, 2, ceil_mode=True)  # of an odd side, the last pixel alone
        z, _ = denoised(prior.at((half.shape[-2], half.shape[-1])), half, self.level, batch, seed)
        tick(None)
        change = F.interpolate(z.to(y) - half, scale_factor=2, mode="bicubic")[..., : y.shape[-2], : y.shape[-1]]
        x0, rows = denoised(prior, y + change, self.level, batch, seed)
        tick(None)
        return Drawn(x0[:, None], 2 * -(-len(y) // rows), rows)

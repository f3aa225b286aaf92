"""Poisson noise: photons are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Gt
from scipy.special import ndtr, pdtr
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Measured, Noise
from posteriori.operators.base import Operator
from posteriori.rng import Rng

#: the intensity of black: what a sensor counts in the dark, as a share of ``peak``
DARK = 1e-3


@final
class Poisson(Measured):
    """Counts of photons: peak y ~ Poisson(peak I) with the intensity I = (A(x) + 1) / 2, at least 0.001.

    ``y`` is (N, ...) of the operator's output, counts over ``peak``: 0 for none, and about 1 where A(x) is white. The
    noise of an entry has the standard deviation sqrt(I / peak), 2 sqrt(I / peak) on the [-1, 1] scale. A is to give
    A(x) on that scale, as one does whose entries are weighted means of x's. PosterioriError for a ``y`` as in
    ``Measured`` or below 0, and where peak is no finite number above 0.

    The residual is Pearson's, (y - I) / sqrt(I / peak), of unit variance at every intensity; one that is stabilised,
    2 sqrt(k + 3/8) (Anscombe 1948), has less than that below about four counts. The variance is held in its gradient,
    so that the gradient of -|residual|^2 / 2 is the one of ``log_prob``: iteratively reweighted least squares.

    Source: McCullagh and Nelder 1989, "Generalized linear models", sections 2.4.1 and 2.5. Chung et al. 2023,
    "Diffusion posterior sampling for general noisy inverse problems", section 3.2, weigh by y where I stands here.
    """

    noise: ClassVar[str] = "Poisson noise"

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, peak: float):
        peak = PoissonNoise(peak).peak  # which has the bounds
        super().__init__(y, operator)
        if (self.y < 0).any():
            raise PosterioriError(f"y goes down to {self.y.min():.4g}: give counts over peak, from 0 up")
        self.peak = float(peak)

    @classmethod
    def simulate(
        cls,
        x: Tensor,
        operator: Operator,
        peak: float,
        *,
        seed: int | Sequence[int] = 0,
        keys: Sequence[int] | None = None,
    ) -> Poisson:
        """The likelihood of one measurement of each clean image ``x``, (N, *shape): see ``Noise.simulate``."""
        return PoissonNoise(peak).simulate(x, operator, seed=seed, keys=keys)

    def initial_estimate(self) -> Tensor:
        return self.operator.initial_estimate(2 * self.y - 1)

    def residual(self, x: Tensor) -> Tensor:
        y, intensity = self._entries(x)
        return (y - intensity) / (intensity.detach() / self.peak).sqrt()

    def misfit(self, x: Tensor) -> Tensor:
        y, intensity = self._entries(x)
        held = intensity.detach()
        return 2 * (y - intensity) * (held.mean(1, keepdim=True) / held).sqrt()

    def log_prob(self, x: Tensor) -> Tensor:
        y, intensity = self._entries(x)
        count, rate = self.peak * y, self.peak * intensity
        return (count * rate.log() - rate - torch.lgamma(count + 1)).sum(1)

    def _entries(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y and the intensity of the m observed entries, (B, m) each."""
        return self.operator.observed_entries(self.y), _intensity(self.operator.observed_entries(self.operator(x)))


@final
@dataclass(frozen=True)
class PoissonNoise(Noise[Poisson]):
    """Photons counted: peak y ~ Poisson(peak I), I = (A(x) + 1) / 2, at least 0.001."""

    peak: Annotated[float, Gt(0), "the mean count where A(x) is white"]

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> Poisson:
        return Poisson(y, operator, self.peak)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        """The count's quantile at Phi(z), with z the normal number that Gaussian noise would have."""
        z = rng.normal(clean.shape[1:]).cpu().double().numpy()
        rate, u = self.peak * _intensity(clean.cpu().double()).numpy(), ndtr(z)
        count = np.maximum(np.rint(rate + np.sqrt(rate) * z + (z**2 - 1) / 6), 0)  # Cornish and Fisher's, 1 or 2 off
        while (low := pdtr(count, rate) < u).any():
            count += low
        while (high := (count > 0) & (pdtr(np.maximum(count - 1, 0), rate) >= u)).any():
            count -= high
        return torch.from_numpy(count / self.peak).to(clean)


def _intensity(clean: Tensor) -> Tensor:
    return ((clean + 1) / 2).clamp(min=DARK)

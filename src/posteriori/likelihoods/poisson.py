"""Poisson noise: photon counts, optionally with the read noise of a sensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Gt
from scipy.special import ndtr, pdtr
from torch import Tensor

from posteriori.likelihoods.base import Noise
from posteriori.likelihoods.independent import Independent, intensity, normals
from posteriori.operators.base import Operator
from posteriori.rng import Rng


@final
class Poisson(Independent):
    """Photon counts: k ~ Poisson(peak I) with the intensity I = (A(x) + 1) / 2, at least 0.001; y = 2 k / peak - 1.

    ``y`` is (N, ...), as the operator gives it: -1 for no photon, and about 1 where A(x) is white. The noise of an
    entry has standard deviation 2 sqrt(I / peak). A(x) must be on the [-1, 1] scale, which holds if its entries are
    weighted means of those of x. PosterioriError for a ``y`` as in ``Measured``, for an observed y below -1, and if
    peak is not a finite number above 0.

    The residual has unit variance at every intensity. (A variance-stabilised one, 2 sqrt(k + 3/8), Anscombe 1948, has
    less below about four counts.) The gradient of -|residual|^2 / 2 equals that of ``log_prob``.

    Source: McCullagh and Nelder 1989, "Generalized linear models", sections 2.4.1 and 2.5. Chung et al. 2023,
    "Diffusion posterior sampling for general noisy inverse problems", section 3.2, weight by y instead of I.
    """

    noise: ClassVar[str] = "Poisson noise"

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, peak: float):
        peak = PoissonNoise(peak).peak  # which has the bounds
        super().__init__(y, operator)
        self._check_light("2 counts / peak - 1, from -1 up")
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
        """Counts the photons of each clean image ``x``, (N, *shape) on [-1, 1]: the likelihood of their counts.

        ``seed`` and ``keys`` are as in ``Gaussian.simulate``.
        """
        return PoissonNoise(peak).simulate(x, operator, seed=seed, keys=keys)

    def moments(self, a: Tensor) -> tuple[Tensor, Tensor]:
        rate = intensity(a)
        return 2 * rate - 1, 4 * rate / self.peak

    def log_density(self, y: Tensor, a: Tensor) -> Tensor:
        count, rate = (self.peak * (y + 1) / 2).clamp(min=0), self.peak * intensity(a)
        return count * rate.log() - rate - torch.lgamma(count + 1)


@final
class PoissonGaussian(Independent):
    """Counts with read noise: y = 2 k / peak - 1 + sigma n, with k as in ``Poisson`` and n ~ N(0, 1).

    The density is approximated by a normal one with the same mean and variance, 4 I / peak + sigma^2. This is accurate
    from about 10 counts on, or if sigma is at least one count.

    Source: Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", eq. 5
    and section II-C.
    """

    noise: ClassVar[str] = "Poisson-Gaussian noise"

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, peak: float, sigma: float):
        noise = PoissonGaussianNoise(peak, sigma)  # which has the bounds
        super().__init__(y, operator)
        self.peak, self.sigma = float(noise.peak), float(noise.sigma)

    def moments(self, a: Tensor) -> tuple[Tensor, Tensor]:
        rate = intensity(a)
        return 2 * rate - 1, 4 * rate / self.peak + self.sigma**2

    def log_density(self, y: Tensor, a: Tensor) -> Tensor:
        mean, variance = self.moments(a)
        return -0.5 * ((y - mean).square() / variance + (2 * math.pi * variance).log())


@final
@dataclass(frozen=True)
class PoissonNoise(Noise[Poisson]):
    """Photon counts: y = 2 k / peak - 1, k ~ Poisson(peak I), I = (A(x) + 1) / 2, at least 0.001."""

    name: ClassVar[str] = "poisson"

    peak: Annotated[float, Gt(0), "mean count where A(x) is white"]

    @property
    def level(self) -> float:
        return 2 * math.sqrt(0.5 / self.peak)

    def averaged(self, left: float) -> PoissonNoise:
        return PoissonNoise(self.peak / left**2)

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> Poisson:
        return Poisson(y, operator, self.peak)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        return (2 * _counts(clean, self.peak, rng) / self.peak - 1).to(clean)


@final
@dataclass(frozen=True)
class PoissonGaussianNoise(Noise[PoissonGaussian]):
    """Photon counts with the read noise of a sensor: as poisson, plus sigma n, n ~ N(0, I)."""

    name: ClassVar[str] = "poisson-gaussian"

    peak: Annotated[float, Gt(0), "mean count where A(x) is white"]
    sigma: Annotated[float, Gt(0), "standard deviation of the read noise, on the [-1, 1] scale"]

    @property
    def level(self) -> float:
        return math.sqrt(2 / self.peak + self.sigma**2)

    def averaged(self, left: float) -> PoissonGaussianNoise:
        return PoissonGaussianNoise(self.peak / left**2, left * self.sigma)

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> PoissonGaussian:
        return PoissonGaussian(y, operator, self.peak, self.sigma)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        counts = 2 * _counts(clean, self.peak, rng) / self.peak - 1
        return (counts.to(clean.device) + self.sigma * rng.normal(clean.shape[1:]).double()).to(clean)


def _counts(clean: Tensor, peak: float, rng: Rng) -> Tensor:
    """Counts for ``clean`` A(x), float64: the quantile at Phi(z), with z the normal number of Gaussian noise."""
    z = normals(clean, rng)
    rate, u = peak * intensity(clean.cpu().double()).numpy(), ndtr(z)
    count = np.maximum(np.rint(rate + np.sqrt(rate) * z + (z**2 - 1) / 6), 0)  # Cornish and Fisher's, 1 or 2 off
    while (low := pdtr(count, rate) < u).any():
        count += low
    while (high := (count > 0) & (pdtr(np.maximum(count - 1, 0), rate) >= u)).any():
        count -= high
    return torch.from_numpy(count)

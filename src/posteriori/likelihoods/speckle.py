"""Speckle: multiplicative noise, as in radar, ultrasound and laser light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Gt
from scipy.special import gammaincinv, ndtr
from torch import Tensor

from posteriori.likelihoods.base import Noise
from posteriori.likelihoods.independent import Independent, intensity, normals
from posteriori.operators.base import Operator
from posteriori.rng import Rng


@final
class Speckle(Independent):
    """y = 2 I g - 1 with the intensity I = (A(x) + 1) / 2, at least 0.001, and g ~ Gamma(looks), of mean 1.

    ``y`` is on the [-1, 1] scale: -1 for no light, and without an upper limit. The noise of an entry has standard
    deviation 2 I / sqrt(looks). One look is fully developed speckle, which is exponential. PosterioriError for a ``y``
    as in ``Measured``, for an observed y below -1, and if looks is not a finite number above 0.

    Source: Goodman 2007, "Speckle phenomena in optics", sections 3.2 and 4.2.
    """

    noise: ClassVar[str] = "speckle"

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, looks: float):
        looks = SpeckleNoise(looks).looks  # which has the bounds
        super().__init__(y, operator)
        self._check_light("intensities from black, -1, up")
        self.looks = float(looks)

    def moments(self, a: Tensor) -> tuple[Tensor, Tensor]:
        mean = intensity(a)
        return 2 * mean - 1, 4 * mean.square() / self.looks

    def log_density(self, y: Tensor, a: Tensor) -> Tensor:
        looks, light, mean = self.looks, ((y + 1) / 2).clamp(min=1e-12), intensity(a)
        shape = looks * math.log(looks) - math.lgamma(looks) - math.log(2)  # the range of y is 2
        return shape + (looks - 1) * light.log() - looks * mean.log() - looks * light / mean


@final
@dataclass(frozen=True)
class SpeckleNoise(Noise[Speckle]):
    """Speckle: the intensity (A(x) + 1) / 2 is multiplied by gamma-distributed numbers of mean 1."""

    name: ClassVar[str] = "speckle"

    looks: Annotated[float, Gt(0), "number of images averaged; the relative noise is 1 / sqrt(looks)"]

    @property
    def level(self) -> float:
        return 1 / math.sqrt(self.looks)

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> Speckle:
        return Speckle(y, operator, self.looks)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        """The quantile at Phi(z), with z the normal number that Gaussian noise would have."""
        factor = torch.from_numpy(gammaincinv(self.looks, ndtr(normals(clean, rng))) / self.looks)
        return (2 * intensity(clean.cpu().double()) * factor - 1).to(clean)

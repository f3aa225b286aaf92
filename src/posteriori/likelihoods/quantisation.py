"""Quantisation: a measurement is rounded to a fixed number of bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from posteriori.likelihoods.base import Noise
from posteriori.likelihoods.independent import Independent
from posteriori.operators.base import Operator
from posteriori.rng import Rng


@final
class Quantised(Independent):
    """y = Q(A(x) + step n / 2): rounded to a multiple of step = 2 / (2^bits - 1) from -1, n ~ N(0, 1).

    Levels continue beyond [-1, 1]. The probability of y is that of its cell, Phi((y + step / 2 - a) / s) - Phi((y -
    step / 2 - a) / s), with s = step / 2. The noise before rounding makes the quantiser linear: with it, the mean of y
    is A(x) to 0.3% of a step, and its variance is s^2 + step^2 / 12 to 3% (the errors are periodic in A(x), with
    amplitude exp(-2 pi^2 s^2 / step^2) and smaller harmonics). Most 8-bit pictures have that much noise. For a picture
    that was rounded without noise, use the operator ``bit-depth``.

    Source: Widrow and Kollar 2008, "Quantization noise", chapters 4, 11 and 19.
    """

    noise: ClassVar[str] = "quantisation noise"

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, bits: int):
        self.step = QuantisationNoise(bits).step  # which has the bounds
        super().__init__(y, operator)

    def moments(self, a: Tensor) -> tuple[Tensor, Tensor]:
        return a, torch.full_like(a, self.step**2 / 3)

    def log_density(self, y: Tensor, a: Tensor) -> Tensor:
        """log of the probability of y's cell."""
        off = ((y - a) / (self.step / 2)).abs().double()
        low, high = torch.special.log_ndtr(-off - 1), torch.special.log_ndtr(1 - off)
        return (high + torch.log1p(-(low - high).exp())).to(a.dtype)


@final
@dataclass(frozen=True)
class QuantisationNoise(Noise[Quantised]):
    """Quantisation: Gaussian noise of half a step, then rounding to the steps of ``bits`` bits over [-1, 1]."""

    name: ClassVar[str] = "quantisation"

    bits: Annotated[int, Ge(1), Le(16), "number of bits for the range [-1, 1]"]

    @property
    def step(self) -> float:
        return 2 / (2**self.bits - 1)

    @property
    def level(self) -> float:
        return self.step / math.sqrt(3)

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> Quantised:
        return Quantised(y, operator, self.bits)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        noisy = clean.double() + self.step / 2 * rng.normal(clean.shape[1:])
        return (((noisy + 1) / self.step).round() * self.step - 1).to(clean)

"""Gaussian noise: y = A(x) + sigma n."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, final

import numpy as np
from annotated_types import Ge
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Additive, Linear, Marginal, Measured, Noise, Spectral
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.operators.svd import SVDOperator
from posteriori.rng import Rng


class Gaussian(Measured, Additive):
    """y = A(x) + sigma n, n ~ N(0, I): ``y`` is (N, ...) of the operator's output, ``sigma`` on the [-1, 1] scale.

    What it can do is decided by its operator: ``Gaussian(y, operator, sigma)`` of a linear one is a ``LinearGaussian``
    and of one with an SVD an ``SVDGaussian``. PosterioriError for a ``y`` as in ``Measured``, and where sigma is no
    finite number from 0 up.
    """

    noise: ClassVar[str] = "Gaussian noise"

    def __new__(cls, y: Tensor | np.ndarray, operator: Operator, sigma: float) -> Gaussian:
        if cls is Gaussian and isinstance(operator, LinearOperator):
            cls = SVDGaussian if operator.svd else LinearGaussian
        return super().__new__(cls)

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, sigma: float):
        sigma = GaussianNoise(sigma).sigma  # which has the bounds
        super().__init__(y, operator)
        self.sigma = float(sigma)

    def __getnewargs__(self) -> tuple[Any, ...]:
        """What copies and pickles call ``__new__`` with."""
        return self.y, self.operator, self.sigma

    @classmethod
    def simulate(
        cls,
        x: Tensor,
        operator: Operator,
        sigma: float,
        *,
        seed: int | Sequence[int] = 0,
        keys: Sequence[int] | None = None,
    ) -> Gaussian:
        """The likelihood of one measurement of each clean image ``x``, (N, *shape): see ``Noise.simulate``."""
        return GaussianNoise(sigma).simulate(x, operator, seed=seed, keys=keys)

    def with_sigma(self, sigma: float) -> Self:
        like = copy.copy(self)
        like.sigma = sigma
        return like

    def residual(self, x: Tensor) -> Tensor:
        if not self.sigma:
            raise PosterioriError("sigma is 0: without noise the residual has no unit; take the misfit, y - A(x)")
        return self.misfit(x) / self.sigma

    def misfit(self, x: Tensor) -> Tensor:
        return self.operator.observed_entries(self.y - self.operator(x))

    def log_prob(self, x: Tensor) -> Tensor:
        misfit = self.misfit(x)
        return _log_normal(misfit.square().sum(1), misfit.shape[1], self.sigma**2)


class LinearGaussian(Gaussian, Linear):
    """Gaussian noise on a linear operator's output."""

    def prox(self, z: Tensor, rho: float) -> Tensor:
        assert isinstance(self.operator, LinearOperator)  # Gaussian.__new__ sees to it
        return self.operator.prox(z, self.y, rho)


@final
class SVDGaussian(LinearGaussian, Spectral, Marginal):
    """Gaussian noise on the output of an operator with an SVD."""

    _truncated = False

    def log_prob(self, x: Tensor, var: float = 0.0) -> Tensor:
        if not var:
            return super().log_prob(x)
        r = self.y - self.operator(x)
        spectral, observed = self._svd.Ut(r), self.operator.observed_entries(r)
        variance = (self.sigma**2 + var * self._svd.s.to(r).square()).expand(spectral.shape[1:]).flatten()
        c = spectral.flatten(1)
        rest = observed.square().sum(1) - c.square().sum(1)  # what A cannot reach: noise alone
        m = observed.shape[1] - c.shape[1]
        inside = -0.5 * (c.square() / variance + variance.log() + math.log(2 * math.pi)).sum(1)
        return inside + (_log_normal(rest.clamp(min=0), m, self.sigma**2) if m else 0.0)

    def truncated(self) -> Self:
        like = copy.copy(self)
        like._truncated = True
        return like

    def spectrum(self) -> tuple[Tensor, Tensor]:
        kept = self._kept(self.y)
        s = self._svd.s.to(self.y).expand(kept.shape)[kept]
        return self._svd.Ut(self.y)[:, kept] / s, self.sigma / s

    def Vt(self, x: Tensor) -> Tensor:
        return self._svd.Vt(x)[:, self._kept(x)]

    def V(self, c: Tensor) -> Tensor:
        kept = self._kept(c)
        full = c.new_zeros(len(c), *kept.shape)
        full[:, kept] = c
        return self._svd.V(full)

    def _kept(self, near: Tensor) -> Tensor:
        """Which coefficients are coordinates, on the device of ``near``."""
        svd = self._svd
        return (svd.measured if self.sigma and not self._truncated else svd.kept).to(near.device)

    @property
    def _svd(self) -> SVDOperator:
        assert isinstance(self.operator, LinearOperator)  # Gaussian.__new__ sees to both
        svd = self.operator.svd
        assert isinstance(svd, SVDOperator)
        return svd


@final
@dataclass(frozen=True)
class GaussianNoise(Noise[Gaussian]):
    """White Gaussian noise: y = A(x) + sigma n, n ~ N(0, I)."""

    sigma: Annotated[float, Ge(0), "standard deviation, on the [-1, 1] scale"]

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> Gaussian:
        return Gaussian(y, operator, self.sigma)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        return clean + self.sigma * rng.normal(clean.shape[1:])


def _log_normal(square: Tensor, m: int, variance: float) -> Tensor:
    """The log-density of m numbers N(0, variance) whose squares add up to ``square``."""
    if variance <= 0:
        raise PosterioriError("the likelihood has no density at sigma = 0: give sigma > 0")
    return -0.5 * (square / variance + m * math.log(2 * math.pi * variance))

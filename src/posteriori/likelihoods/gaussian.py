"""Gaussian noise: y = A(x) + sigma n, with one sigma or one for each entry of y."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, final

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Additive, Conditional, Linear, Marginal, Measured, Noise, Spectral
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.operators.rounding import Rounding
from posteriori.operators.svd import SVDOperator
from posteriori.operators.weighted import weighted
from posteriori.rng import Rng

#: one standard deviation, or an array of one for each entry of y
Sigma = float | Tensor | np.ndarray


class Gaussian(Measured, Additive):
    """y = A(x) + sigma n, n ~ N(0, I). ``y`` is (N, ...), as the operator gives it; ``sigma`` is on the [-1, 1] scale.

    The operator determines the class: ``Gaussian(y, operator, sigma)`` is a ``LinearGaussian`` for a linear operator,
    an ``SVDGaussian`` for one with an SVD, and ``Rounded`` for one that rounds, without noise. PosterioriError for a
    ``y`` as in ``Measured``, and if sigma is not a finite number from 0 up.

    ``sigma`` may be an array that broadcasts to A(x), with one sigma_i for each entry, infinite where y says nothing.
    This is treated as white noise on W A(x) with W = diag(s / sigma_i): ``misfit`` is W (y - A(x)), and ``sigma`` is s,
    with 1 / s^2 the mean of 1 / sigma_i^2. ``sigma`` scales all of the noise. Operators whose coefficients have an
    entry each keep their SVD (``SVDOperator.selects``): masks, and means of blocks.
    """

    noise: ClassVar[str] = "Gaussian noise"
    #: the diagonal of W, where sigma is not one for all
    _weights: Tensor | None = None

    def __new__(cls, y: Tensor | np.ndarray, operator: Operator, sigma: Sigma) -> Gaussian:
        if cls is Gaussian and isinstance(operator, LinearOperator):
            single = not isinstance(sigma, Tensor | np.ndarray) or not sigma.ndim
            svd = operator.svd
            cls = SVDGaussian if isinstance(svd, SVDOperator) and (single or svd.selects) else LinearGaussian
        if cls is Gaussian and isinstance(operator, Rounding) and isinstance(sigma, int | float) and sigma == 0:
            cls = Rounded
        return super().__new__(cls)

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, sigma: Sigma):
        noise = gaussian_noise(sigma)  # which has the bounds
        super().__init__(y, operator)
        #: A, or W A where sigma is not one for all
        self.white = operator
        if isinstance(noise, GaussianNoise):
            self.sigma = float(noise.sigma)
        else:
            each = noise.over(operator)
            told = operator.observed_entries(each[None]).reciprocal().square()
            self.sigma = float((told > 0).sum().item() / told.sum().item()) ** 0.5
            self._weights = (self.sigma / each).to(self.y.dtype)
            self.white = weighted(operator, self._weights)
            self.y = self.white.zero_filled(self.y)

    def __getnewargs__(self) -> tuple[Any, ...]:
        """The arguments with which copies and pickles call ``__new__``."""
        return self.y, self.operator, self.sigma

    @classmethod
    def simulate(
        cls,
        x: Tensor,
        operator: Operator,
        sigma: Sigma,
        *,
        seed: int | Sequence[int] = 0,
        keys: Sequence[int] | None = None,
    ) -> Gaussian:
        """Measures each clean image ``x``, (N, *shape) on [-1, 1], with noise: the likelihood of y = A(x) + sigma n.

        ``seed`` is one for all rows, or one for each. ``keys`` names the rows' random streams; by default they come
        from the images' content, so that a picture gets the same noise in any batch. y is never clipped.
        PosterioriError if x does not have the operator's shape.
        """
        return gaussian_noise(sigma).simulate(x, operator, seed=seed, keys=keys)

    def with_sigma(self, sigma: float) -> Self:
        like = copy.copy(self)
        like.sigma = sigma
        return like

    def residual(self, x: Tensor) -> Tensor:
        if not self.sigma:
            raise PosterioriError("sigma is 0: without noise the residual is not defined; take the misfit, y - A(x)")
        return self.misfit(x) / self.sigma

    def misfit(self, x: Tensor) -> Tensor:
        return self.white.observed_entries(self.white_y - self.white(x))

    def log_prob(self, x: Tensor) -> Tensor:
        misfit = self.misfit(x)
        return _log_normal(misfit.square().sum(1), misfit.shape[1], self.sigma**2) + self._log_volume

    @property
    def white_y(self) -> Tensor:
        """W y: ``white`` applied to x, plus noise of one standard deviation, ``sigma``."""
        return self.y if self._weights is None else self._weights.to(self.y) * self.y

    @property
    def _log_volume(self) -> float:
        """log |W|: the density of y relative to that of W y."""
        if self._weights is None:
            return 0.0
        return self.white.observed_entries(self._weights[None]).double().log().sum().item()


@final
class Rounded(Gaussian, Conditional):
    """An operator that rounds, without noise on its output: x lies in the cells of y."""

    def conditional_mean(self, z: Tensor, std: float) -> Tensor:
        assert isinstance(self.operator, Rounding)  # Gaussian.__new__ ensures it
        return self.operator.conditional_mean(z, self.y, std)

    def whitening(self, n: Tensor, z: Tensor, std: float, sigma: float) -> Tensor:
        assert isinstance(self.operator, Rounding)
        return self.operator.whitening(n, z, self.y, std, sigma)


class LinearGaussian(Gaussian, Linear):
    """Gaussian noise on a linear operator's output."""

    def prox(self, z: Tensor, rho: float) -> Tensor:
        assert isinstance(self.white, LinearOperator)  # Gaussian.__new__ ensures it
        return self.white.prox(z, self.white_y, rho)


@final
class SVDGaussian(LinearGaussian, Spectral, Marginal):
    """Gaussian noise on the output of an operator with an SVD."""

    _truncated = False

    def log_prob(self, x: Tensor, var: float = 0.0) -> Tensor:
        if not var:
            return super().log_prob(x)
        r = self.white_y - self.white(x)
        spectral, observed = self._svd.Ut(r), self.white.observed_entries(r)
        variance = (self.sigma**2 + var * self._svd.s.to(r).square()).expand(spectral.shape[1:]).flatten()
        c = spectral.flatten(1)
        rest = observed.square().sum(1) - c.square().sum(1)  # outside the range of A: noise alone
        m = observed.shape[1] - c.shape[1]
        inside = -0.5 * (c.square() / variance + variance.log() + math.log(2 * math.pi)).sum(1)
        return inside + (_log_normal(rest.clamp(min=0), m, self.sigma**2) if m else 0.0) + self._log_volume

    def truncated(self) -> Self:
        like = copy.copy(self)
        like._truncated = True
        return like

    def spectrum(self) -> tuple[Tensor, Tensor]:
        kept = self._kept(self.y)
        s = self._svd.s.to(self.y).expand(kept.shape)[kept]
        return self._svd.Ut(self.white_y)[:, kept] / s, self.sigma / s

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
        assert isinstance(self.white, LinearOperator)  # Gaussian.__new__ ensures both
        svd = self.white.svd
        assert isinstance(svd, SVDOperator)
        return svd


@final
@dataclass(frozen=True)
class GaussianNoise(Noise[Gaussian]):
    """White Gaussian noise: y = A(x) + sigma n, n ~ N(0, I)."""

    name: ClassVar[str] = "gaussian"

    sigma: Annotated[float, Ge(0), "standard deviation, on the [-1, 1] scale"]

    @property
    def level(self) -> float:
        return self.sigma

    def averaged(self, left: float) -> GaussianNoise:
        return GaussianNoise(left * self.sigma)

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> Gaussian:
        return Gaussian(y, operator, self.sigma)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        return clean + self.sigma * rng.normal(clean.shape[1:])


@final
@dataclass(frozen=True, eq=False)
class PerPixelNoise(Noise[Gaussian]):
    """Gaussian noise with a standard deviation for each entry: y_i = A(x)_i + sigma_i n_i.

    ``sigma`` is on the [-1, 1] scale, above 0, and infinite where y says nothing, with y = 0 there. It broadcasts to
    A(x). PosterioriError for anything else. ``simulate(x, operator)`` draws measurements; ``likelihood(y, operator)``
    is that of your own, as ``Gaussian(y, operator, sigma)``.
    """

    sigma: Tensor | np.ndarray

    def __post_init__(self) -> None:
        each = torch.as_tensor(self.sigma).double()
        object.__setattr__(self, "sigma", each)
        if not (each > 0).all() or not each.isfinite().any():
            raise PosterioriError(
                "sigma must be above 0 in every entry, on the [-1, 1] scale: give infinity where y says nothing"
            )

    @classmethod
    def behind(cls, share: Tensor | np.ndarray, sigma: float) -> PerPixelNoise:
        """The noise of a picture behind damage of opacity m = ``share``, on [0, 1], with noise of ``sigma`` above 0.

        y = (1 - m) x + m d + sigma n, with unknown damage d. Divided by 1 - m this is x with noise m d, so that
        sigma_i^2 = sigma^2 + (m / (1 - m))^2 if d has unit variance. m = 0.1 is noise of 0.11; m = 0.5 is noise of 1,
        which says next to nothing; m = 1 is infinite noise. PosterioriError if a share is not on [0, 1].
        """
        m = torch.as_tensor(share).double()
        if not ((m >= 0) & (m <= 1)).all():
            raise PosterioriError("a soft mask must be on [0, 1]: 0 is kept, 1 is hidden")
        return cls((sigma**2 + (m / (1 - m)).square()).sqrt())

    @property
    def level(self) -> float:
        told = torch.as_tensor(self.sigma)[torch.as_tensor(self.sigma).isfinite()]
        return float(told.reciprocal().square().mean()) ** -0.5

    def over(self, operator: Operator) -> Tensor:
        """sigma for each entry of A(x), float64."""
        try:
            return torch.as_tensor(self.sigma).expand(operator.measured_shape).clone()
        except RuntimeError:
            raise PosterioriError(
                f"sigma is {tuple(self.sigma.shape)}; {operator.name} gives {operator.measured_shape}: "
                "give the same size"
            ) from None

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> Gaussian:
        return Gaussian(y, operator, self.sigma)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        sigma = torch.as_tensor(self.sigma).to(clean)
        return torch.where(sigma.isinf(), 0.0, clean + sigma * rng.normal(clean.shape[1:]))


def gaussian_noise(sigma: Sigma) -> GaussianNoise | PerPixelNoise:
    """The noise of ``sigma``, one for all entries or one for each. PosterioriError if it is no valid sigma."""
    if isinstance(sigma, Tensor | np.ndarray):
        return PerPixelNoise(sigma) if sigma.ndim else GaussianNoise(float(sigma))
    return GaussianNoise(sigma)


def _log_normal(square: Tensor, m: int, variance: float) -> Tensor:
    """The log-density of m numbers N(0, variance) whose squares add up to ``square``."""
    if variance <= 0:
        raise PosterioriError("the likelihood has no density at sigma = 0: give sigma > 0")
    return -0.5 * (square / variance + m * math.log(2 * math.pi * variance))

"""The forward operator A of y = A(x) + n, and the linear algebra that samplers ask of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from posteriori.rng import Purpose, Rng, image_key
from posteriori.settings.bounds import check


@dataclass(frozen=True)
class Operator(ABC):
    """A forward operator for images of one ``shape``, (C, H, W) or (d,).

    Batches are (B, *shape), float32 or float64; y = A(x) is (B, ...). A nonlinear operator needs ``__call__`` and
    ``guess``.
    """

    #: what the command line, presets and manifests call it
    name: ClassVar[str]
    #: whether every observed entry of A(x) is a weighted mean of x's entries, and so within their range
    averages: ClassVar[bool] = False

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        """The shape of the images whose measurements, by an operator with these ``fields``, are ``measured``."""
        return measured

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """y = A(x), differentiable."""

    @abstractmethod
    def guess(self, y: Tensor, sigma: float) -> Tensor:
        """A first image for the measurement ``y``, (B, *shape): what SDEdit starts from."""

    def hide(self, y: Tensor) -> Tensor:
        """``y`` with zeros where nothing is observed."""
        return y

    def observed(self, y: Tensor) -> Tensor:
        """The m observed entries of ``y``, (B, m)."""
        return y.flatten(1)

    def measure(self, x: Tensor, sigma: float, *, seed: int = 0, keys: Sequence[int] | None = None) -> Tensor:
        """y = A(x) + sigma n with n ~ N(0, I) from a stream of its own; never rounded or clipped.

        ``sigma`` is on the images' [-1, 1] scale. ``keys`` names the rows' random streams and is taken
        from the images' content where it is not given. A(x) is computed in float64 and rounded once: y's content names
        the samplers' streams, and no processor's float32 is to decide it.
        """
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"x is {tuple(x.shape)}; this {type(self).__name__} takes (B, {', '.join(map(str, self.shape))})"
            )
        check_sigma(sigma)
        keys = [image_key(row) for row in x] if keys is None else keys
        rng = Rng(seed, keys, purpose=Purpose.MEASUREMENT, device=x.device)
        y = self(x.cpu().double()).to(x)
        return self.hide(y + sigma * rng.normal(y.shape[1:]))

    def log_normal(self, r: Tensor, sigma: float, var: float = 0.0) -> Tensor:
        """log N(r; 0, sigma^2 I + var A A^T) of y-shaped residuals, over the observed entries: (B,)."""
        if var:
            raise ValueError(f"{type(self).__name__} has no SVD: its likelihood takes var = 0 only, got {var:.4g}")
        observed = self.observed(r)
        return _log_normal(observed.square().sum(1), observed.shape[1], sigma**2)


class LinearOperator(Operator):
    """A linear A, with its adjoint and its proximal map."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y, (B, *shape)."""

    @abstractmethod
    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """argmin_x |y - A x|^2 + rho |x - z|^2; at rho = 0 the solution nearest to z, z + A^+ (y - A z)."""


class SVDOperator(LinearOperator):
    """A = U diag(s) V^T in thin form; everything else follows.

    ``V``, ``Vt``, ``U`` and ``Ut`` map batches between images, measurements and the r spectral
    coefficients, in whatever shape suits the operator; ``s`` broadcasts against the coefficients.
    """

    #: singular values up to this are dropped where y is divided by them: from the pseudo-inverse
    cutoff: ClassVar[float] = 1e-6

    @property
    @abstractmethod
    def s(self) -> Tensor:
        """The singular values, of the coefficients' shape or broadcasting to it."""

    @cached_property
    @torch.inference_mode(False)
    def kept(self) -> Tensor:
        """Which coefficients the pseudo-inverse keeps, of the coefficients' shape."""
        return self._above(self.cutoff)

    @cached_property
    @torch.inference_mode(False)
    def measured(self) -> Tensor:
        """Which coefficients reach y, of the coefficients' shape: all but those that float32's rounding hides."""
        return self._above(SVDOperator.cutoff)

    def _above(self, least: float) -> Tensor:
        return (self.s > least).expand(self.Vt(self.s.new_zeros(1, *self.shape)).shape[1:])

    @abstractmethod
    def U(self, c: Tensor) -> Tensor: ...

    @abstractmethod
    def Ut(self, y: Tensor) -> Tensor: ...

    @abstractmethod
    def V(self, c: Tensor) -> Tensor: ...

    @abstractmethod
    def Vt(self, x: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor) -> Tensor:
        return self.U(self.s.to(x) * self.Vt(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.V(self.s.to(y) * self.Ut(y))

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        s = self.s.to(z)
        return z + self.V(self._gain(s, rho) * (self.Ut(y) - s * self.Vt(z)))

    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y, (B, *shape), without the singular values up to ``cutoff``."""
        return self.V(self._gain(self.s.to(y)) * self.Ut(y))

    def _gain(self, s: Tensor, rho: float = 0.0) -> Tensor:
        return s / (s.square() + rho) if rho else (s > self.cutoff) / s.clamp(min=self.cutoff)

    def guess(self, y: Tensor, sigma: float) -> Tensor:
        return self.pinv(y)

    def log_normal(self, r: Tensor, sigma: float, var: float = 0.0) -> Tensor:
        if not var:
            return super().log_normal(r, sigma)
        spectral, observed = self.Ut(r), self.observed(r)
        variance = (sigma**2 + var * self.s.to(r).square()).expand(spectral.shape[1:]).flatten()
        c = spectral.flatten(1)
        rest = observed.square().sum(1) - c.square().sum(1)  # what A cannot reach: noise alone
        m = observed.shape[1] - c.shape[1]
        inside = -0.5 * (c.square() / variance + variance.log() + math.log(2 * math.pi)).sum(1)
        return inside + (_log_normal(rest.clamp(min=0), m, sigma**2) if m else 0.0)


def svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(U, s, V^T) of a matrix in thin form, float64, with bases that follow from the matrix alone.

    LAPACK is free in the sign of a pair of singular vectors, and in their basis where singular values are equal; noise
    in these coordinates would be another on another processor. Each such V is turned until V^T G is symmetric and
    positive, with G of fixed numbers: for one vector, until its product with a fixed one is positive.
    """
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    fixed = torch.rand(vt.mT.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    ends = (s[:-1] - s[1:] > 1e-9 * s[0]).nonzero().flatten() + 1
    for start, end in pairwise([0, *ends.tolist(), len(s)]):
        own = slice(start, end)
        left, _, right = torch.linalg.svd(vt[own] @ fixed[:, own])
        turn = left @ right  # the orthogonal factor of V^T G
        u[:, own], vt[own] = u[:, own] @ turn, turn.mT @ vt[own]
    return u, s, vt


def _log_normal(square: Tensor, m: int, variance: float) -> Tensor:
    if variance <= 0:
        raise ValueError("the likelihood has no density at sigma = 0: give sigma > 0")
    return -0.5 * (square / variance + m * math.log(2 * math.pi * variance))


def check_sigma(sigma: float) -> None:
    """A noise level must be a finite number from 0 up, on the [-1, 1] scale."""
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is {sigma}: give a finite number from 0 up, on the [-1, 1] scale")

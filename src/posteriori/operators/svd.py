"""Operators with a singular value decomposition, and the decomposition itself."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from posteriori.operators.linear import LinearOperator


class SVDOperator(LinearOperator):
    """A = U diag(s) V^T in thin form. All other methods follow from it.

    ``V``, ``Vt``, ``U`` and ``Ut`` map batches between images, measurements and the r spectral coefficients, in any
    shape that suits the operator. ``s`` broadcasts against the coefficients.
    """

    kind: ClassVar[str] = "an operator with an SVD"
    #: the pseudo-inverse drops singular values up to this
    cutoff: ClassVar[float] = 1e-6
    #: whether U maps every coefficient to its own entry of y, so that weights of entries are weights of coefficients
    selects: ClassVar[bool] = False

    @property
    def svd(self) -> SVDOperator:
        return self

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
        """Which coefficients reach y, of the coefficients' shape: all but those below float32's rounding."""
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

    def initial_estimate(self, y: Tensor) -> Tensor:
        return self.pinv(y)


class Orthogonal(SVDOperator):
    """A = s V^T: its rows are orthogonal and have one length s, 1 by default, so that U = I."""

    @property
    def s(self) -> Tensor:
        return torch.ones(())

    def U(self, c: Tensor) -> Tensor:
        return c

    def Ut(self, y: Tensor) -> Tensor:
        return y

    def __call__(self, x: Tensor) -> Tensor:
        return self.s.to(x) * self.Vt(x)


def svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(U, s, V^T) of a matrix in thin form, float64, with bases that depend on the matrix alone.

    LAPACK may choose the sign of a pair of singular vectors, and their basis if singular values are equal, so that
    noise in these coordinates would depend on the processor. Each such V is rotated until V^T G is symmetric and
    positive, with G of fixed numbers; for one vector, until its product with a fixed one is positive.
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

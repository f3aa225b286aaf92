"""W A for a diagonal W: an operator whose entries of y have weights, as for whitened noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.operators.svd import SVDOperator


@dataclass(frozen=True, eq=False)
class Weighted(Operator):
    """x -> W A(x). ``weights`` is the diagonal of W, at least 0, of A's ``measured_shape``.

    Entries of weight 0 are not observed. ``weighted`` makes the subclass that A allows.
    """

    operator: Operator
    weights: Tensor

    @cached_property
    @torch.inference_mode(False)
    def _told(self) -> Tensor:
        """Which of the entries that A observes have a positive weight, (m,)."""
        return self.operator.observed_entries(self.weights[None])[0] > 0

    def __call__(self, x: Tensor) -> Tensor:
        return self.weights.to(x) * self.operator(x)

    def initial_estimate(self, y: Tensor) -> Tensor:
        weights = self.weights.to(y)
        return self.operator.initial_estimate(torch.where(weights > 0, y / weights, 0.0))

    def zero_filled(self, y: Tensor) -> Tensor:
        return self.operator.zero_filled(y).where(self.weights.to(y.device) > 0, 0.0)

    def observed_entries(self, y: Tensor) -> Tensor:
        return self.operator.observed_entries(y)[:, self._told.to(y.device)]


class WeightedLinear(Weighted, LinearOperator):
    """W A for a linear A."""

    operator: LinearOperator

    def adjoint(self, y: Tensor) -> Tensor:
        return self.operator.adjoint(self.weights.to(y) * y)


class WeightedSVD(WeightedLinear, SVDOperator):
    """W A = U diag(w s) V^T, if every coefficient has its own entry of y (``SVDOperator.selects``)."""

    operator: SVDOperator

    @cached_property
    @torch.inference_mode(False)
    def _s(self) -> Tensor:
        return self.operator.s * self.operator.Ut(self.weights[None])[0]

    @property
    def s(self) -> Tensor:
        return self._s

    def U(self, c: Tensor) -> Tensor:
        return self.operator.U(c)

    def Ut(self, y: Tensor) -> Tensor:
        return self.operator.Ut(y)

    def V(self, c: Tensor) -> Tensor:
        return self.operator.V(c)

    def Vt(self, x: Tensor) -> Tensor:
        return self.operator.Vt(x)


def weighted(operator: Operator, weights: Tensor) -> Weighted:
    """W A: linear if A is, and with an SVD if A has one whose ``U`` selects entries."""
    svd = operator.svd if isinstance(operator, LinearOperator) else None
    if isinstance(svd, SVDOperator) and svd.selects:
        return WeightedSVD(operator.shape, svd, weights)
    kind = WeightedLinear if isinstance(operator, LinearOperator) else Weighted
    return kind(operator.shape, operator, weights)

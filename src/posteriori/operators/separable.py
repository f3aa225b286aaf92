"""Operators that act on rows and columns separately: A X = K_h X K_w^T."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from posteriori.operators.base import Composition, Operator, parts
from posteriori.operators.svd import SVDOperator, svd


@dataclass(frozen=True)
class Separable(SVDOperator):
    """A X = K_h X K_w^T for every channel of (C, H, W), by small dense matrices.

    Two one-dimensional singular value decompositions give the full one: its singular values are products of theirs.
    """

    @cached_property
    @abstractmethod
    def matrices(self) -> tuple[Tensor, Tensor]:
        """K_h and K_w, float64."""

    @cached_property
    @torch.inference_mode(False)  # they outlive inference mode, and no gradient goes through them
    def _factors(self) -> tuple[tuple[Tensor, ...], ...]:
        """(U, s, V^T) along the height and along the width, float32."""
        return tuple(tuple(factor.float() for factor in svd(matrix)) for matrix in self.matrices)

    def __call__(self, x: Tensor) -> Tensor:
        k_h, k_w = self.matrices
        return k_h.to(x) @ x @ k_w.T.to(x)

    @property
    def s(self) -> Tensor:
        (_, s_h, _), (_, s_w, _) = self._factors
        return s_h[:, None] * s_w

    def U(self, c: Tensor) -> Tensor:
        (u_h, _, _), (u_w, _, _) = self._factors
        return u_h.to(c) @ c @ u_w.T.to(c)

    def Ut(self, y: Tensor) -> Tensor:
        (u_h, _, _), (u_w, _, _) = self._factors
        return u_h.T.to(y) @ y @ u_w.to(y)

    def V(self, c: Tensor) -> Tensor:
        (_, _, vt_h), (_, _, vt_w) = self._factors
        return vt_h.T.to(c) @ c @ vt_w.to(c)

    def Vt(self, x: Tensor) -> Tensor:
        (_, _, vt_h), (_, _, vt_w) = self._factors
        return vt_h.to(x) @ x @ vt_w.T.to(x)

    def __matmul__(self, other: Operator) -> Operator:
        if all(isinstance(part, Separable) for part in parts(other)):
            return SeparableComposition(other.shape, (*parts(self), *parts(other)))
        return super().__matmul__(other)


@dataclass(frozen=True)
class SeparableComposition(Composition, Separable):
    """A composition of separable operators, which is separable: K_h and K_w are products of theirs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        cutoffs = [part.cutoff for part in self.parts if isinstance(part, Separable)]
        object.__setattr__(self, "cutoff", max(cutoffs))

    @cached_property
    @torch.inference_mode(False)
    def matrices(self) -> tuple[Tensor, Tensor]:
        pairs = [part.matrices for part in self.parts if isinstance(part, Separable)]
        return reduce(torch.matmul, [p[0] for p in pairs]), reduce(torch.matmul, [p[1] for p in pairs])

    __call__ = Separable.__call__

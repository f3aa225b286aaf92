"""Linear operators: an adjoint, and the proximal map by conjugate gradients."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from posteriori.linalg import cg
from posteriori.operators.base import Composition, Operator, parts


class LinearOperator(Operator):
    """A linear A with its adjoint. Its other methods use these two and conjugate gradients."""

    kind: ClassVar[str] = "a linear operator"
    #: conjugate gradients stop at this residual, relative to the norm of the right-hand side, for each row
    tolerance: ClassVar[float] = 1e-5
    #: or after this many steps: without rho and with small singular values, more steps would fit the noise
    iterations: ClassVar[int] = 100

    @property
    def svd(self) -> LinearOperator | None:
        """The same A as an ``SVDOperator``, if its singular value decomposition is known; else None."""
        return None

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y, (B, *shape)."""

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """argmin_x |y - A x|^2 + rho |x - z|^2, (B, *shape). At rho = 0, the solution nearest to z, z + A^+ (y - A z).

        Solves (A^T A + rho I) (x - z) = A^T (y - A z) from 0, to ``tolerance`` or for ``iterations`` steps. Not
        differentiable.
        """
        misfit = self.adjoint(y - self(z))
        return z + cg(lambda d: self.adjoint(self(d)) + rho * d, misfit, self.tolerance, self.iterations)

    def __matmul__(self, other: Operator) -> Operator:
        if isinstance(other, LinearOperator):
            return LinearComposition(other.shape, (*parts(self), *parts(other)))
        return super().__matmul__(other)


@dataclass(frozen=True)
class LinearComposition(Composition, LinearOperator):
    """A composition of linear operators: A^T = A_k^T ... A_2^T A_1^T."""

    def adjoint(self, y: Tensor) -> Tensor:
        for part in self.parts:
            assert isinstance(part, LinearOperator)  # __matmul__ ensures it
            y = part.adjoint(y)
        return y

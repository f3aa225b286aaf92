"""Measurements of deepinv's physics, without importing deepinv: conversion between its [0, 1] and our [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods import Gaussian
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.settings.own import said
from posteriori.settings.probe import probe


@dataclass(frozen=True)
class Deepinv:
    """A physics object of deepinv as an operator and a noise level: see ``from_deepinv``."""

    #: A for images on [-1, 1]: a ``LinearOperator`` where the physics has an adjoint
    operator: Operator
    #: standard deviation of the noise of what ``measurement`` returns: twice the physics' own for a linear A
    sigma: float

    def measurement(self, y: Tensor) -> Tensor:
        """``y``, (N, ...), as the physics gives it for images on [0, 1], converted for images on [-1, 1].

        With x = 2 x01 - 1 and a linear A, 2 A(x01) = A(x) + A(1), so that it is 2 y - A(1). For other A it is y.
        """
        if not isinstance(self.operator, LinearOperator):
            return y
        return 2 * y - self.operator(torch.ones(1, *self.operator.shape, dtype=y.dtype, device=y.device))

    def likelihood(self, y: Tensor) -> Gaussian:
        """The likelihood of ``y``, (N, ...), as the physics gives it for images on [0, 1]."""
        return Gaussian(self.measurement(y.detach()), self.operator, self.sigma)

    @staticmethod
    def image(x: Tensor) -> Tensor:
        """Images on [-1, 1], as ``sample`` returns them, converted to deepinv's [0, 1]."""
        return (x + 1) / 2


def from_deepinv(physics: Any, shape: tuple[int, ...]) -> Deepinv:
    """A physics object of deepinv for images of ``shape``, (C, H, W): its A, A_adjoint and noise_model.

        noise = deepinv.physics.GaussianNoise(0.05)
        physics = deepinv.physics.BlurFFT((3, 64, 64), filter, noise_model=noise)
        adapted = posteriori.from_deepinv(physics, (3, 64, 64))
        x = sample(prior, adapted.likelihood(physics(x01)), DPS())
        x01 = adapted.image(x)

    With ``A_adjoint`` it is a linear operator, whose prox is solved by conjugate gradients. Without, it is a nonlinear
    operator, which autograd differentiates. It is computed in float32. The noise must be Gaussian, or none.

    The other direction needs no adapter: ``deepinv.physics.LinearPhysics(A=operator, A_adjoint=operator.adjoint)``
    wraps an operator of this package, for images on [-1, 1].

    Raises PosterioriError for other noise, for measurements that are lists or complex, for an adjoint that is wrong,
    and if another test of ``check`` fails.
    """
    linear = callable(getattr(physics, "A_adjoint", None))
    operator = (_LinearPhysics if linear else _Physics)(tuple(shape), physics)
    sigma = _sigma(getattr(physics, "noise_model", None))
    probe(operator)
    return Deepinv(operator, 2 * sigma if linear else sigma)


@dataclass(frozen=True, eq=False)
class _Physics(Operator):
    """A((x + 1) / 2) of a physics that is not linear."""

    name: ClassVar[str] = "deepinv"

    physics: Any

    def __call__(self, x: Tensor) -> Tensor:
        return self._run(self.physics.A, (x + 1) / 2)

    def initial_estimate(self, y: Tensor) -> Tensor:
        """Grey: a nonlinear physics has no inverse for all."""
        return y.new_zeros(len(y), *self.shape)

    def _run(self, function: Any, given: Tensor) -> Tensor:
        """What the physics makes of ``given``, in float32 whatever that is."""
        what = type(self.physics).__name__
        try:
            found = function(given.float())
        except Exception as error:
            raise PosterioriError(f"{what} fails for {tuple(given.shape)}: {said(error)}") from error
        if not isinstance(found, Tensor) or not found.is_floating_point():
            kind = str(found.dtype).removeprefix("torch.") if isinstance(found, Tensor) else type(found).__name__
            raise PosterioriError(f"{what} gives {kind}: only physics of one tensor of real numbers can be taken")
        return found.to(given.dtype)


class _LinearPhysics(_Physics, LinearOperator):
    """A x of a linear physics."""

    def __call__(self, x: Tensor) -> Tensor:
        return self._run(self.physics.A, x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._run(self.physics.A_adjoint, y)

    def initial_estimate(self, y: Tensor) -> Tensor:
        """A^+ y, as far as conjugate gradients take it."""
        return self.prox(y.new_zeros(len(y), *self.shape), y, 0.0)


def _sigma(noise: Any) -> float:
    """The standard deviation of a noise model of deepinv on its [0, 1]."""
    kinds = [cls.__name__ for cls in type(noise).__mro__]
    if noise is None or "ZeroNoise" in kinds:
        return 0.0
    if "GaussianNoise" not in kinds:
        raise PosterioriError(
            f"the physics has {kinds[0]}: GaussianNoise and ZeroNoise are converted; make the likelihood of any other "
            "from the operator"
        )
    sigma = torch.as_tensor(noise.sigma, dtype=torch.float64).flatten().unique()
    if len(sigma) != 1:
        raise PosterioriError(f"the physics has {len(sigma)} noise levels: give one for all measurements")
    return float(sigma)

"""p(y | x): measurements, operator and noise. What all likelihoods have, and what only some have."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from posteriori.bounds import check
from posteriori.errors import PosterioriError
from posteriori.operators.base import Operator
from posteriori.rng import Purpose, Rng, image_key


class Likelihood(ABC):
    """The likelihood of N measurements, one per row. Images are (B, *shape) with B = len(self).

    Samplers name the type that they need in ``requires``: this one, or one of those below.
    """

    #: what a sampler needs that requires this type, for messages
    needs: ClassVar[str] = "any likelihood"

    shape: tuple[int, ...]

    @property
    @abstractmethod
    def about(self) -> str:
        """The noise and the operator, for messages."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def select(self, rows: slice) -> Self:
        """The measurements in ``rows``."""

    @abstractmethod
    def expand(self, n: int) -> Self:
        """Every measurement repeated n times, the copies side by side."""

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Self:
        """The same likelihood on ``device``, in the floating-point ``dtype``."""

    @abstractmethod
    def keys(self) -> list[int]:
        """A key for the random streams of each measurement, from its content."""

    @abstractmethod
    def initial_estimate(self) -> Tensor:
        """The operator's initial estimate for each measurement, (B, *shape)."""

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """(y - E[y | x]) / its standard deviation, (B, m), in the m observed entries: of unit variance for the truth.

        PosterioriError if there is no noise.
        """

    @abstractmethod
    def misfit(self, x: Tensor) -> Tensor:
        """The residual in the units of A(x), (B, m): times a typical standard deviation of the row's noise.

        If the noise has one standard deviation this is y - A(x), also without noise. Step lengths refer to it.
        """

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(y | x), (B,), over the observed entries."""

    def score(self, x: Tensor) -> Tensor:
        """The gradient of ``log_prob`` with respect to x, (B, *shape)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (g,) = torch.autograd.grad(self.log_prob(x).sum(), x)
        return g


class Additive(Likelihood):
    """y = A(x) + n, with noise n of one standard deviation, which a sampler may change."""

    needs: ClassVar[str] = "Gaussian noise"

    #: standard deviation sigma_y of the noise, on the [-1, 1] scale
    sigma: float

    @abstractmethod
    def with_sigma(self, sigma: float) -> Self:
        """This likelihood with noise of standard deviation ``sigma``."""

    def widen(self, gamma: float) -> Self:
        """This likelihood with noise of variance sigma_y^2 + gamma^2."""
        return self.with_sigma(math.hypot(self.sigma, gamma))


class Conditional(Additive):
    """E[x | y] is known for a Gaussian x, exactly or nearly."""

    needs: ClassVar[str] = "a linear operator and Gaussian noise, or an operator that rounds and no noise"

    @abstractmethod
    def conditional_mean(self, z: Tensor, std: float) -> Tensor:
        """E[x | y] for x ~ N(z, std^2 I), (B, *shape); ``std`` may be infinite."""

    def whitening(self, n: Tensor, z: Tensor, std: float, sigma: float) -> Tensor | None:
        """Noise of variance sigma^2 less that of x | y, made of ``n`` ~ N(0, I); None if that variance is unknown."""
        return None


class Linear(Conditional):
    """A is linear, so that ``misfit`` is affine in x."""

    needs: ClassVar[str] = "a linear operator and Gaussian noise"

    def conditional_mean(self, z: Tensor, std: float) -> Tensor:
        return self.prox(z, (self.sigma / std) ** 2)

    @abstractmethod
    def prox(self, z: Tensor, rho: float) -> Tensor:
        """argmin_x |y - A x|^2 + rho |x - z|^2, (B, *shape); at rho = 0, the solution nearest to z."""


class Spectral(Linear):
    """A is diagonal in known coordinates, c = V^T x."""

    needs: ClassVar[str] = "an operator with an SVD and Gaussian noise"

    @abstractmethod
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """(y, std) in the r measured coordinates c = V^T x: y_i ~ N(c_i, std_i^2), (B, r) and (r,).

        y = S^-1 U^T y and std = sigma_y / s. With noise, all singular values are included, since std says how little
        the small ones tell. Without noise, or if ``truncated``, only those above the operator's cut-off are.
        """

    @abstractmethod
    def truncated(self) -> Self:
        """This likelihood with only the coordinates that the pseudo-inverse has."""

    @abstractmethod
    def Vt(self, x: Tensor) -> Tensor:
        """The measured coordinates of ``x``, (B, r)."""

    @abstractmethod
    def V(self, c: Tensor) -> Tensor:
        """The image with these measured coordinates and no others, (B, *shape): V^T V c = c."""


class Marginal(Likelihood):
    """p(y) is known in closed form for a Gaussian x."""

    needs: ClassVar[str] = Spectral.needs

    @abstractmethod
    def log_prob(self, x: Tensor, var: float = 0.0) -> Tensor:
        """log p(y | x), (B,), with x_0 ~ N(x, var I) integrated out: N(y; A x, sigma_y^2 I + var A A^T)."""


class Measured(Likelihood):
    """A likelihood with data: ``y`` is (N, ...), zero in entries that the operator does not observe.

    ``y`` is a tensor or an array of floating-point numbers. Half precision is converted to float32. PosterioriError for
    other types, for another shape than the operator gives, and for numbers that are not finite.
    """

    #: the kind of noise, for messages
    noise: ClassVar[str]

    def __init__(self, y: Tensor | np.ndarray, operator: Operator):
        y = _floats(y)
        if y.shape[1:] != operator.measured_shape:
            raise PosterioriError(
                f"y is {tuple(y.shape)}; {operator} gives (N, {', '.join(map(str, operator.measured_shape))})"
            )
        if not torch.isfinite(y).all():
            raise PosterioriError("the measurement holds NaN or infinity: give finite numbers")
        self.shape = operator.shape
        self.operator = operator
        self.y = operator.zero_filled(y)

    @property
    def about(self) -> str:
        return f"{self.noise} and {self.operator.kind} ({type(self.operator).__name__})"

    def with_y(self, y: Tensor) -> Self:
        """This likelihood with other measurements."""
        like = copy.copy(self)
        like.y = y
        return like

    def __len__(self) -> int:
        return len(self.y)

    def select(self, rows: slice) -> Self:
        return self.with_y(self.y[rows])

    def expand(self, n: int) -> Self:
        return self.with_y(self.y.repeat_interleave(n, 0))

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Self:
        y = self.y.to(device=device, dtype=dtype)
        return self.with_y(y.clone() if y.is_inference() else y)  # which no gradient may pass by

    def keys(self) -> list[int]:
        return [image_key(row) for row in self.y]

    def initial_estimate(self) -> Tensor:
        return self.operator.initial_estimate(self.y)


M = TypeVar("M", bound=Measured, covariant=True)


@dataclass(frozen=True)
class Noise(ABC, Generic[M]):
    """A noise model: the distribution of y given A(x). Its fields are its parameters."""

    #: its name in ``--noise`` and manifests; none if it holds an array
    name: ClassVar[str]

    def __post_init__(self) -> None:
        check(self)

    @property
    @abstractmethod
    def level(self) -> float:
        """A standard deviation on the [-1, 1] scale, for presets. If it depends on A(x), that of middle grey."""

    def averaged(self, left: float) -> Noise[M]:
        """This noise after resizing, which leaves the share ``left`` of the standard deviation of white noise.

        PosterioriError if it becomes another kind of noise.
        """
        raise PosterioriError(
            f"{self.name} refers to the file's pixels, and resizing changes its kind: take a prior of any "
            "size, like photo, or --fit crop"
        )

    @abstractmethod
    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> M:
        """The likelihood of the measurements ``y``, (N, ...)."""

    @abstractmethod
    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        """y for ``clean`` A(x), (B, ...); never clipped."""

    def simulate(
        self, x: Tensor, operator: Operator, *, seed: int | Sequence[int] = 0, keys: Sequence[int] | None = None
    ) -> M:
        """The likelihood of one measurement of each clean image ``x``, (N, *shape), with a random stream for each.

        ``seed`` is one for all rows, or one for each. ``keys`` names the streams of the rows; by default they come from
        the content of the images. A(x) is computed in float64 and rounded once, so that y, whose content names the
        streams of samplers, does not depend on the processor's float32.
        """
        if tuple(x.shape[1:]) != operator.shape:
            raise PosterioriError(
                f"x is {tuple(x.shape)}; this {type(operator).__name__} takes "
                f"(B, {', '.join(map(str, operator.shape))})"
            )
        keys = [image_key(row) for row in x] if keys is None else keys
        rng = Rng(seed, keys, purpose=Purpose.MEASUREMENT, device=x.device)
        clean = operator(x.cpu().double()).to(x)
        return self.likelihood(self.draw(clean, rng), operator)


def _floats(y: Tensor | np.ndarray) -> Tensor:
    """``y`` as a tensor, in float32 or float64."""
    array = y if isinstance(y, Tensor) else np.asarray(y)
    floating = array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind == "f"
    if not floating:
        raise PosterioriError(
            f"y holds {str(array.dtype).removeprefix('torch.')}: give floating-point numbers on the [-1, 1] scale, "
            "bytes as y / 127.5 - 1"
        )
    if isinstance(array, np.ndarray):  # of any byte order, and read-only or not
        array = torch.from_numpy(array.astype(np.float64 if array.dtype.itemsize >= 8 else np.float32))
    return array if array.dtype == torch.float64 else array.float()

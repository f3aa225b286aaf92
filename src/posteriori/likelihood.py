"""p(y | x): a measurement, its operator and its noise, bound together."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import final

import numpy as np
import torch
from torch import Tensor

from posteriori.operator import LinearOperator, Operator, SVDOperator, check_sigma
from posteriori.rng import image_key


class Likelihood(ABC):
    """The likelihood of N measurements, one a row. Images are (B, *shape) with B = len(self)."""

    shape: tuple[int, ...]
    #: standard deviation sigma_y of the noise, on the [-1, 1] scale
    sigma: float

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def select(self, rows: slice) -> Likelihood:
        """The measurements in ``rows``."""

    @abstractmethod
    def expand(self, n: int) -> Likelihood:
        """Every measurement repeated n times, the copies side by side."""

    @abstractmethod
    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Likelihood:
        """The same on ``device``, in the floating-point ``dtype``."""

    @abstractmethod
    def keys(self) -> list[int]:
        """A key of each measurement's random streams, from its content."""

    @abstractmethod
    def supports(self, requires: type[Operator]) -> bool:
        """Whether the operator, if there is one, is of the kind that a sampler requires."""

    @abstractmethod
    def guess(self) -> Tensor:
        """A first image for each measurement, (B, *shape)."""

    @abstractmethod
    def residual(self, x: Tensor) -> Tensor:
        """y - A(x) over the m observed entries, (B, m)."""

    @abstractmethod
    def log_prob(self, x: Tensor, var: float = 0.0) -> Tensor:
        """log p(y | x), (B,), where x_0 ~ N(x, var I) is integrated out: N(y; A x, sigma_y^2 I + var A A^T)."""

    @abstractmethod
    def prox(self, z: Tensor, rho: float) -> Tensor:
        """argmin_x |y - A x|^2 + rho |x - z|^2, (B, *shape)."""

    @abstractmethod
    def with_sigma(self, sigma: float) -> Likelihood:
        """This likelihood with noise of standard deviation ``sigma``."""

    @abstractmethod
    def spectrum(self) -> tuple[Tensor, Tensor]:
        """(y, std) in the r coordinates c = V^T x that are measured: y_i ~ N(c_i, std_i^2), (B, r) and (r,).

        y = S^-1 U^T y and std = sigma_y / s. With noise that is over all singular values, since std says how little
        the small ones tell; without noise, and where ``truncated``, over those above the operator's cut-off.
        """

    @abstractmethod
    def truncated(self) -> Likelihood:
        """This likelihood with no more coordinates than the pseudo-inverse has."""

    @abstractmethod
    def Vt(self, x: Tensor) -> Tensor:
        """The measured coordinates of ``x``, (B, r)."""

    @abstractmethod
    def V(self, c: Tensor) -> Tensor:
        """The image with these measured coordinates and no others, (B, *shape): V^T V c = c."""

    def widen(self, gamma: float) -> Likelihood:
        """This likelihood with noise of variance sigma_y^2 + gamma^2."""
        return self.with_sigma(math.hypot(self.sigma, gamma))

    def score(self, x: Tensor, var: float = 0.0) -> Tensor:
        """The gradient of ``log_prob`` with respect to x, (B, *shape)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (g,) = torch.autograd.grad(self.log_prob(x, var).sum(), x)
        return g


@final
class Gaussian(Likelihood):
    """y = A(x) + sigma n, n ~ N(0, I): ``y`` is (N, ...) of the operator's output, ``sigma`` on the [-1, 1] scale.

    ``y`` is a tensor or an array of floating-point numbers; half precision becomes float32. ValueError where it holds
    anything else, has another shape, or is not finite.
    """

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, sigma: float):
        check_sigma(sigma)
        y = _floats(y)
        expected = operator(torch.zeros(1, *operator.shape, dtype=y.dtype, device=y.device)).shape[1:]
        if y.shape[1:] != expected:
            raise ValueError(f"y is {tuple(y.shape)}; {operator} gives (N, {', '.join(map(str, expected))})")
        if not torch.isfinite(y).all():
            raise ValueError("the measurement holds NaN or infinity: give finite numbers")
        self.shape = operator.shape
        self.operator = operator
        self.y = operator.hide(y)
        self.sigma = float(sigma)
        self._truncated = False

    def _with(self, y: Tensor, sigma: float) -> Gaussian:
        like = copy.copy(self)
        like.y, like.sigma = y, sigma
        return like

    def __len__(self) -> int:
        return len(self.y)

    def select(self, rows: slice) -> Gaussian:
        return self._with(self.y[rows], self.sigma)

    def expand(self, n: int) -> Gaussian:
        return self._with(self.y.repeat_interleave(n, 0), self.sigma)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Gaussian:
        y = self.y.to(device=device, dtype=dtype)
        return self._with(y.clone() if y.is_inference() else y, self.sigma)  # which no gradient may pass by

    def keys(self) -> list[int]:
        return [image_key(row) for row in self.y]

    def supports(self, requires: type[Operator]) -> bool:
        return isinstance(self.operator, requires)

    def guess(self) -> Tensor:
        return self.operator.guess(self.y, self.sigma)

    def residual(self, x: Tensor) -> Tensor:
        return self.operator.observed(self.y - self.operator(x))

    def log_prob(self, x: Tensor, var: float = 0.0) -> Tensor:
        return self.operator.log_normal(self.y - self.operator(x), self.sigma, var)

    def prox(self, z: Tensor, rho: float) -> Tensor:
        if not isinstance(self.operator, LinearOperator):
            raise TypeError(f"{type(self.operator).__name__} is not linear and has no prox")
        return self.operator.prox(z, self.y, rho)

    def with_sigma(self, sigma: float) -> Gaussian:
        return self._with(self.y, sigma)

    def truncated(self) -> Gaussian:
        like = self._with(self.y, self.sigma)
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
        if not isinstance(self.operator, SVDOperator):
            raise TypeError(f"{type(self.operator).__name__} has no singular value decomposition")
        return self.operator


def _floats(y: Tensor | np.ndarray) -> Tensor:
    """``y`` as a tensor, in float32 or float64."""
    array = y if isinstance(y, Tensor) else np.asarray(y)
    floating = array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind == "f"
    if not floating:
        raise ValueError(
            f"y holds {str(array.dtype).removeprefix('torch.')}: give floating-point numbers on the [-1, 1] scale, "
            "bytes as y / 127.5 - 1"
        )
    if isinstance(array, np.ndarray):  # of any byte order, and read-only or not
        array = torch.from_numpy(array.astype(np.float64 if array.dtype.itemsize >= 8 else np.float32))
    return array if array.dtype == torch.float64 else array.float()


@final
class Flat(Likelihood):
    """No data: the posterior is the prior. ``n`` rows of ``shape``, each with streams of its own."""

    device = torch.device("cpu")
    sigma = 0.0

    def __init__(self, n: int, shape: tuple[int, ...], *, first: int = 0):
        if n < 1:
            raise ValueError(f"n is {n}: give at least 1")
        self.n = n
        self.shape = tuple(shape)
        self.first = first

    def __len__(self) -> int:
        return self.n

    def select(self, rows: slice) -> Flat:
        chosen = range(self.n)[rows]
        return Flat(len(chosen), self.shape, first=self.first + chosen.start)

    def expand(self, n: int) -> Flat:
        return Flat(self.n * n, self.shape, first=self.first)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Flat:
        like = copy.copy(self)
        like.device = device
        return like

    def keys(self) -> list[int]:
        return list(range(self.first, self.first + self.n))

    def supports(self, requires: type[Operator]) -> bool:
        return True

    def guess(self) -> Tensor:
        return torch.zeros(self.n, *self.shape, device=self.device, dtype=torch.float32)

    def residual(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :0]

    def log_prob(self, x: Tensor, var: float = 0.0) -> Tensor:
        return self.residual(x).sum(1)

    def prox(self, z: Tensor, rho: float) -> Tensor:
        return z

    def with_sigma(self, sigma: float) -> Flat:
        return self

    def truncated(self) -> Flat:
        return self

    def spectrum(self) -> tuple[Tensor, Tensor]:
        nothing = self.guess().flatten(1)[:, :0]
        return nothing, nothing[0]

    def Vt(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :0]

    def V(self, c: Tensor) -> Tensor:
        return c.new_zeros(len(c), *self.shape)

"""No data."""

from __future__ import annotations

import copy
from typing import final

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Marginal, Spectral


@final
class Flat(Spectral, Marginal):
    """No data: the posterior is the prior. ``n`` rows of ``shape``, each with its own random streams.

    Use it to draw from a prior. Rows are numbered from ``first``, so that batches can continue one another.
    PosterioriError if n < 1.
    """

    about = "no data"
    device = torch.device("cpu")
    sigma = 0.0

    def __init__(self, n: int, shape: tuple[int, ...], *, first: int = 0):
        if n < 1:
            raise PosterioriError(f"n is {n}: give at least 1")
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

    def initial_estimate(self) -> Tensor:
        return torch.zeros(self.n, *self.shape, device=self.device, dtype=torch.float32)

    def residual(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :0]

    def misfit(self, x: Tensor) -> Tensor:
        return self.residual(x)

    def log_prob(self, x: Tensor, var: float = 0.0) -> Tensor:
        return self.residual(x).sum(1)

    def prox(self, z: Tensor, rho: float) -> Tensor:
        return z

    def with_sigma(self, sigma: float) -> Flat:
        return self

    def truncated(self) -> Flat:
        return self

    def spectrum(self) -> tuple[Tensor, Tensor]:
        nothing = self.initial_estimate().flatten(1)[:, :0]
        return nothing, nothing[0]

    def Vt(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :0]

    def V(self, c: Tensor) -> Tensor:
        return c.new_zeros(len(c), *self.shape)

"""Gradients, row by row, and Adam's steps along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


def value_and_gradient(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x), (B,), and its gradient at ``x``, (B, ...), if each row of f(x) depends on the same row of ``x`` only."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = f(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


@dataclass(frozen=True)
class Adam:
    """The moments of the gradients so far: Kingma and Ba 2015, "Adam: a method for stochastic optimization",
    algorithm 1, with epsilon 1e-8. Entries do not touch one another, so that rows stay apart.
    """

    first: Tensor
    second: Tensor
    betas: tuple[float, float]
    count: int = 0

    @classmethod
    def at(cls, x: Tensor, betas: tuple[float, float] = (0.9, 0.999)) -> Adam:
        """Before the first step, of an ``x`` of this shape."""
        return cls(torch.zeros_like(x), torch.zeros_like(x), betas)

    def step(self, g: Tensor) -> tuple[Tensor, Adam]:
        """(the direction u of the step x - rate u that the gradient ``g`` leads to, the moments with it)."""
        (a, b), k = self.betas, self.count + 1
        first, second = a * self.first + (1 - a) * g, b * self.second + (1 - b) * g**2
        u = first / (1 - a**k) / ((second / (1 - b**k)).sqrt() + 1e-8)
        return u, replace(self, first=first, second=second, count=k)

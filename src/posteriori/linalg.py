"""Solvers for linear systems that are known by their products, one system a row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def cg(product: Callable[[Tensor], Tensor], b: Tensor, tolerance: float, iterations: int) -> Tensor:
    """The x of product(x) = b for each row of ``b``, (B, ...), by conjugate gradients: Hestenes and Stiefel 1952.

    ``product`` is symmetric, with no negative eigenvalue; where it is singular and b in its range, x is the solution of
    least norm. A row is left as it is from where its residual is at most ``tolerance`` |b|, so that it does not depend
    on the others; the rest stop after ``iterations`` steps.
    """
    rows = (-1, *[1] * (b.ndim - 1))
    x, r, p = torch.zeros_like(b), b, b
    square = _square(r)
    enough = tolerance**2 * square
    for _ in range(iterations):
        active = square > enough
        if not active.any():
            break
        q = product(p)
        step = torch.where(active, square / (p * q).flatten(1).sum(1), 0.0).view(rows)
        x, r = x + step * p, r - step * q
        last, square = square, torch.where(active, _square(r), square)
        p = torch.where(active.view(rows), r + torch.where(active, square / last, 0.0).view(rows) * p, p)
    return x


def _square(r: Tensor) -> Tensor:
    return r.square().flatten(1).sum(1)

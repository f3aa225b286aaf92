"""Solvers for linear systems that are given by products, one system per row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def cg(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    tolerance: float | Tensor,
    iterations: int,
    *,
    near: Callable[[Tensor], Tensor] = lambda r: r,
) -> Tensor:
    """The x with product(x) = b for each row of ``b``, (B, ...), by conjugate gradients: Hestenes and Stiefel 1952.

    ``product`` is symmetric and positive semidefinite. If it is singular, with b in its range, x is the solution of
    least norm. A row stops when its residual is at most ``tolerance`` |b|, (B,) or one for all, so that it does not
    depend on the others; all stop after ``iterations`` steps. ``near``, symmetric and positive, is an approximate
    inverse of ``product``, and saves steps (Saad 2003, "Iterative methods for sparse linear systems", algorithm 9.1).
    """
    x, r, z = torch.zeros_like(b), b, near(b)
    p, square, along = z, _dot(r, r), _dot(r, z)
    enough = tolerance**2 * square
    for _ in range(iterations):
        active = square > enough
        if not active.any():
            break
        q = product(p)
        step = per_row(torch.where(active, along / _dot(p, q), 0.0), b)
        x, r = x + step * p, r - step * q
        z = near(r)
        square = torch.where(active, _dot(r, r), square)
        last, along = along, torch.where(active, _dot(r, z), along)
        p = torch.where(per_row(active, b), z + per_row(torch.where(active, along / last, 0.0), b) * p, p)
    return x


def gmres(product: Callable[[Tensor], Tensor], b: Tensor, iterations: int) -> Tensor:
    """The v that minimises |b - product(v)| in the Krylov space of b, for each row: Saad and Schultz 1986."""
    tiny = torch.finfo(b.dtype).tiny
    basis, images, q = [], [], b
    for _ in range(iterations):
        q = q / q.norm(dim=1, keepdim=True).clamp(min=tiny)
        basis.append(q)
        images.append(product(q))
        q = images[-1]
        for u in basis:
            q = q - (q * u).sum(1, keepdim=True) * u
    # the pseudo-inverse refuses NaN, which is for the loop to report: b has it too
    inverse = torch.linalg.pinv(torch.stack(images, 2).double().nan_to_num(0.0, 0.0, 0.0))
    weights = inverse @ b.double()[:, :, None]
    return (torch.stack(basis, 2).double() @ weights)[:, :, 0].to(b.dtype)


def per_row(values: Tensor, x: Tensor) -> Tensor:
    """``values``, (B,), as (B, 1, ..., 1): one for each row of ``x``, (B, ...)."""
    return values.view(-1, *[1] * (x.ndim - 1))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)

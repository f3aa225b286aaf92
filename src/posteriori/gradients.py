"""Gradients, row by row."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def value_and_gradient(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x), (B,), and its gradient at ``x``, (B, ...), where each row of f(x) depends on that row of ``x`` alone."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = f(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient

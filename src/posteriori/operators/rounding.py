"""What operators that round share: straight-through gradients, and a Gaussian within a measurement's cells."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from posteriori.operators.base import Operator


class Rounding(Operator):
    """An A that rounds. Many images give the same y: those within its cells, a box in some coordinates.

    The gradient is that of A without rounding, "straight-through" (Bengio et al. 2013), since the true one is 0 almost
    everywhere.
    """

    kind = "an operator that rounds"

    @abstractmethod
    def conditional_mean(self, z: Tensor, y: Tensor, std: float) -> Tensor:
        """E[x | A(x) = y] for x ~ N(z, std^2 I), (B, *shape); at std = 0, the image nearest to ``z`` that gives y.

        For infinite std it is the middle of the cells; as std falls, it tends to the projection onto them.
        """

    @abstractmethod
    def whitening(self, n: Tensor, z: Tensor, y: Tensor, std: float, sigma: float) -> Tensor:
        """Noise that makes the error of ``conditional_mean`` white: its variance is sigma^2 less that of x | A(x) = y.

        Made of ``n`` ~ N(0, I), (B, *shape), for each coordinate; zero where x varies by more than sigma.
        """


def rounded(c: Tensor) -> Tensor:
    """round(c), with the gradient of c."""
    return c + (c.round() - c).detach()


def mean_within(z: Tensor, low: Tensor, high: Tensor, std: Tensor | float) -> Tensor:
    """The mean of N(z, std^2) between ``low`` and ``high``, entry by entry; at std = 0, the nearest number to z."""
    inside, std = z.clamp(low, high), _double(std, z)
    turned, a, b = _tail(z, low, high, std)
    at_a, at_b = _densities(a, b)
    moved = std * (at_a - at_b)
    mean = (z + torch.where(turned, -moved, moved)).to(z.dtype)
    return torch.where(mean.isfinite(), mean, inside).clamp(low, high)


def rest_within(z: Tensor, low: Tensor, high: Tensor, std: Tensor | float, sigma: Tensor | float) -> Tensor:
    """sqrt(sigma^2 - v) / sigma, with v the variance of N(z, std^2) between ``low`` and ``high``; 0 if v > sigma^2.

    If the bounds are no more than std / 100 apart, v is that of a uniform distribution between them.
    """
    std = _double(std, z)
    _, a, b = _tail(z, low, high, std)
    at_a, at_b = _densities(a, b)
    v = 1 + a * at_a - b * at_b - (at_a - at_b).square()
    v = torch.where(b - a < 0.01, (b - a).square() / 12, v).nan_to_num(0).clamp(0, 1) * std.square()
    return (1 - v / _double(sigma, z).square()).clamp(min=0).sqrt().to(z.dtype)


def _double(std: Tensor | float, near: Tensor) -> Tensor:
    return torch.as_tensor(std, dtype=torch.float64, device=near.device).clamp(min=1e-9, max=1e6)


def _tail(z: Tensor, low: Tensor, high: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(turned, a, b): the bounds in units of std, mirrored about z if that keeps the digits of the tail."""
    a, b = (low.double() - z) / std, (high.double() - z) / std
    turned = a + b > 0
    return turned, torch.where(turned, -b, a), torch.where(turned, -a, b)


def _densities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The density of N(0, 1), truncated to [a, b], at a and at b."""
    log_b = torch.special.log_ndtr(b)
    log_mass = log_b + torch.log1p(-torch.exp(torch.special.log_ndtr(a) - log_b))
    density = lambda u: torch.exp(-u.square() / 2 - math.log(2 * math.pi) / 2 - log_mass)  # noqa: E731
    return density(a), density(b)

"""What operators that round share: gradients that pass the rounding, and a Gaussian within a measurement's cells."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from posteriori.operators.base import Operator


class Rounding(Operator):
    """An A that rounds. Many images give one y: those of its cells, a box in some coordinates.

    Where A rounds, its gradient is the one without rounding: "straight-through" (Bengio et al. 2013), since the true
    one is 0 almost everywhere.
    """

    kind = "an operator that rounds"

    @abstractmethod
    def conditional_mean(self, z: Tensor, y: Tensor, std: float) -> Tensor:
        """E[x | A(x) = y] of x ~ N(z, std^2 I), (B, *shape); at std = 0 the image nearest to ``z`` that gives y.

        It goes from the middle of the cells, where std is infinite, to the projection onto them.
        """


def rounded(c: Tensor) -> Tensor:
    """round(c), whose gradient is that of c."""
    return c + (c.round() - c).detach()


def mean_within(z: Tensor, low: Tensor, high: Tensor, std: Tensor | float) -> Tensor:
    """The mean of N(z, std^2) between ``low`` and ``high``, entry by entry; at std = 0 the number nearest to z."""
    inside = z.clamp(low, high)
    std = torch.as_tensor(std, dtype=torch.float64, device=z.device).clamp(min=1e-9, max=1e6)
    a, b = (low.double() - z) / std, (high.double() - z) / std
    turned = a + b > 0
    a, b = torch.where(turned, -b, a), torch.where(turned, -a, b)  # the side where the tail is known to its digits
    log_b = torch.special.log_ndtr(b)
    log_mass = log_b + torch.log1p(-torch.exp(torch.special.log_ndtr(a) - log_b))
    log_density = lambda u: -u.square() / 2 - math.log(2 * math.pi) / 2 - log_mass  # noqa: E731
    moved = std * (log_density(a).exp() - log_density(b).exp())
    mean = (z + torch.where(turned, -moved, moved)).to(z.dtype)
    return torch.where(mean.isfinite(), mean, inside).clamp(low, high)

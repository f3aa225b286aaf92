"""Drawings of measurements that do not look like the scene: (B, 3, h, w) on [-1, 1]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from posteriori.linalg import per_row

#: magnitudes below this share of the largest are black
DARKEST = 1e-3


def decades(magnitude: Tensor) -> Tensor:
    """Magnitudes (B, ..., h, w) on a logarithmic scale: white is a row's largest, black a thousandth of it or less."""
    largest = magnitude.flatten(1).amax(1).clamp(min=torch.finfo(magnitude.dtype).tiny)
    share = magnitude / per_row(largest, magnitude)
    return 1 - 2 * share.clamp(min=DARKEST).log10() / math.log10(DARKEST)


def in_colour(panels: Tensor) -> Tensor:
    """(B, C, h, w) as (B, 3, h, w): three channels unchanged, any other number as greys side by side."""
    if panels.shape[1] == 3:
        return panels
    return torch.cat(panels.unbind(1), -1)[:, None].expand(-1, 3, -1, -1)


def in_rows(y: Tensor) -> Tensor:
    """Any numbers (B, ...) in the rows of a grey square: 0 is mid-grey, the largest magnitude black or white."""
    flat = y.flatten(1)
    side = math.ceil(math.sqrt(flat.shape[1]))
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=torch.finfo(y.dtype).tiny)
    square = F.pad(flat, (0, side * side - flat.shape[1])).view(-1, 1, side, side)
    return square.expand(-1, 3, -1, -1)

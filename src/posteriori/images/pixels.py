"""Bytes, and the numbers they stand for: 0 is black, -1, and 255 is white, 1."""

from __future__ import annotations

import torch
from torch import Tensor


def from_bytes(pixels: Tensor) -> Tensor:
    """uint8 of any shape as float32 on [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_bytes(x: Tensor) -> Tensor:
    """``x``, of any shape on [-1, 1], clamped and rounded to uint8."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

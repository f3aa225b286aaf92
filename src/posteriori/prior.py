"""What a pretrained model knows about images, as a denoiser at every noise level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from posteriori.schedule import Level, Schedule


class Denoised(NamedTuple):
    """A prior's answer at one level.

    ``x0`` is E[x_0 | x_t], (B, *shape), float32. ``var`` is the learned fraction f in [0, 1] between
    the small and the large reverse variance (Nichol and Dhariwal 2021, eq. 15), or None.
    """

    x0: Tensor
    var: Tensor | None = None


class Prior(ABC):
    """A prior p(x_0), known through its denoiser.

    ``shape`` is one sample's (3, H, W) for images, (d,) for a mixture of vectors; ``bounds`` is the
    range of x_0, (-1, 1) for image networks, None where there is none. ``shift`` is the range of how far the denoiser
    moves 95% of pictures that the prior knows but was not trained on (``runs.checks``), None where nobody measured it.
    """

    #: what presets and manifests call it; empty for a prior of the user's own
    name: str = ""
    shape: tuple[int, ...]
    schedule: Schedule
    bounds: tuple[float, float] | None = None
    shift: tuple[float, float] | None = None
    device: torch.device = torch.device("cpu")

    @abstractmethod
    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        """E[x_0 | x_t] of ``x_t``, (B, *shape) float32, at the level ``t``. Differentiable in x_t."""

    def at(self, size: int | tuple[int, int]) -> Prior:
        """This prior for images of another ``size`` in pixels (height and width)."""
        raise ValueError(f"{type(self).__name__} of shape {self.shape} works at its own size only, asked for {size}")

"""What a pretrained model knows about images, as a denoiser at every noise level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from posteriori.errors import PosterioriError
from posteriori.schedule import Level, Schedule


class Denoised(NamedTuple):
    """The answer of a prior at one level.

    ``x0`` is E[x_0 | x_t], (B, *shape), float32. ``variance_fraction`` is the learned fraction f in [0, 1] between the
    small and the large reverse variance (Nichol and Dhariwal 2021, eq. 15), of x0's shape, or None.
    """

    x0: Tensor
    variance_fraction: Tensor | None = None
    #: E[x_0 | x_t], where ``x0`` is an estimate of E[x_0 | x_t, y]
    without_data: Tensor | None = None

    def given(self, x0: Tensor) -> Denoised:
        """This answer with ``x0``, an estimate that takes y into account."""
        return self._replace(x0=x0, without_data=self.x0)

    @property
    def alone(self) -> Tensor:
        """E[x_0 | x_t] without y."""
        return self.x0 if self.without_data is None else self.without_data


class Vjp(Protocol):
    def __call__(self, v: Tensor, again: bool = False) -> Tensor: ...


class Prior(ABC):
    """A prior p(x_0), given by its denoiser."""

    #: what presets and manifests call it; empty for a prior of the user's own
    name: str = ""
    #: of one sample: (3, H, W) for images, (d,) for a mixture of vectors
    shape: tuple[int, ...]
    #: the levels that it was trained on
    schedule: Schedule
    #: the range of x_0, (-1, 1) for image networks; None where there is none
    bounds: tuple[float, float] | None = None
    #: of its arithmetic
    dtype: torch.dtype = torch.float32
    device: torch.device = torch.device("cpu")
    #: sides of images, in pixels, are multiples of this in ``at``; 0 where it takes its own size only
    stride: int = 0
    #: whether ``at`` takes sides that are no such multiples, and it knows images of all sizes as it does its own
    any_size: bool = False
    #: whether ``denoise`` gives a ``variance_fraction``
    learned_variance: bool = False
    #: whether activations are computed again for a gradient, and not kept (``save_memory``)
    checkpointing: bool = False
    #: parts of an image that the network sees one by one
    tiles: int = 1
    #: (height, width) of each, in pixels; () where there are none
    tile_size: tuple[int, ...] = ()
    #: how many of them go through the network together
    together: int = 1
    #: the range of how far the denoiser moves 95% of pictures that it knows but was not trained on (``runs.checks``);
    #: None where nobody measured it
    shift: tuple[float, float] | None = None

    @abstractmethod
    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        """E[x_0 | x_t] for ``x_t``, (B, *shape) float32, at the level ``t``. Differentiable in x_t."""

    def estimate(self, x_t: Tensor, t: Level, clip: bool) -> Denoised:
        """``denoise``, clamped to ``bounds`` if ``clip``. Gradients go through the clamp."""
        denoised = self.denoise(x_t, t)
        return denoised._replace(x0=self.clamp(denoised.x0)) if clip else denoised

    def clamp(self, x0: Tensor) -> Tensor:
        """``x0`` clamped to ``bounds``."""
        return x0 if self.bounds is None else x0.clamp(*self.bounds)

    def linearise(self, x_t: Tensor, t: Level, clip: bool) -> tuple[Denoised, Vjp]:
        """The ``estimate`` and v -> J^T v, with J = d x0 / d x_t its Jacobian; v and J^T v are (B, *shape).

        With ``again``, J^T can be applied once more; otherwise its memory is freed.
        """
        with torch.enable_grad():
            x_t = x_t.detach().requires_grad_()
            x0, fraction, _ = self.estimate(x_t, t, clip)

        def vjp(v: Tensor, again: bool = False) -> Tensor:
            with torch.enable_grad():
                product = (x0 * v).sum()  # given v apart, torch would import sympy: most of a second of a cold start
            return torch.autograd.grad(product, x_t, retain_graph=again)[0]

        return Denoised(x0.detach(), None if fraction is None else fraction.detach()), vjp

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that it calls. Its versions at other sizes share them."""
        return ()

    def save_memory(self) -> bool:
        """Makes gradients take less memory and more time: activations are recomputed instead of kept.

        Returns False if the prior cannot do this.
        """
        return False

    def shadow(self) -> Prior:
        """A prior of the same memory use, if possible on torch's meta device, which has shapes but no numbers."""
        return self

    def at(self, size: int | tuple[int, int]) -> Prior:
        """This prior for images of another ``size`` in pixels (height and width)."""
        raise PosterioriError(
            f"{type(self).__name__} of shape {self.shape} works at its own size only, asked for {size}"
        )


class Wrapped(Prior):
    """A prior around another ``prior``. It has the properties of that prior, except for those that a subclass changes.

    ``at`` changes the size of the prior inside.
    """

    def __init__(self, prior: Prior):
        self.prior = prior
        for name in Prior.__annotations__:
            setattr(self, name, getattr(prior, name))

    def at(self, size: int | tuple[int, int]) -> Prior:
        return self.prior.at(size)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return self.prior.networks

    def save_memory(self) -> bool:
        self.checkpointing = self.prior.save_memory()
        return self.checkpointing

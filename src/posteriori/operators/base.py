"""The forward operator A of a measurement."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from posteriori.bounds import check


@dataclass(frozen=True)
class Operator(ABC):
    """A forward operator A for images of one ``shape``, (C, H, W) or (d,).

    Batches are (B, *shape), float32 or float64; A(x) is (B, *measured_shape). It knows nothing of noise.
    """

    #: what the command line, presets and manifests call it
    name: ClassVar[str]
    #: what kind of operator it is, for messages
    kind: ClassVar[str] = "a nonlinear operator"
    #: whether every observed entry of A(x) is a weighted mean of x's entries, and so within their range
    averages: ClassVar[bool] = False

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        """The shape of the images whose measurements, by an operator with these ``fields``, are ``measured``."""
        return measured

    @cached_property
    def measured_shape(self) -> tuple[int, ...]:
        """The shape of one measurement A(x)."""
        return tuple(self(torch.zeros(1, *self.shape)).shape[1:])

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A(x), differentiable."""

    @abstractmethod
    def initial_estimate(self, y: Tensor) -> Tensor:
        """An image from the measurements ``y`` alone, (B, *shape): what SDEdit and RED-diff start from."""

    def zero_filled(self, y: Tensor) -> Tensor:
        """``y`` with zeros in the entries that are not observed."""
        return y

    def observed_entries(self, y: Tensor) -> Tensor:
        """The m observed entries of ``y``, (B, m)."""
        return y.flatten(1)

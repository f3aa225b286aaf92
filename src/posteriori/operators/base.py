"""The forward operator A of a measurement."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from posteriori.bounds import check
from posteriori.errors import PosterioriError
from posteriori.operators.drawing import in_rows


@dataclass(
    frozen=True, eq=False
)  # subclasses' fields count too; operators that hold an array are equal only to themselves
class Operator(ABC):
    """A forward operator A for images of one ``shape``, (C, H, W) or (d,).

    Batches are (B, *shape), float32 or float64. A(x) is (B, *measured_shape). The operator has no noise.
    """

    #: what the command line, presets and manifests call it
    name: ClassVar[str]
    #: what kind of operator it is, for messages
    kind: ClassVar[str] = "a nonlinear operator"
    #: whether A(x) stays on [-1, 1] if x does: entries are weighted means of x's entries, or tones of them
    averages: ClassVar[bool] = False
    #: how far beyond [-1, 1] entries of such an operator may still lie
    overshoot: ClassVar[float] = 0.0
    #: whether very different pictures may explain a measurement, so that the mean of samples is meaningless
    ambiguous: ClassVar[bool] = False

    #: values of fields for measurements that are not simulated, if they differ from the defaults
    for_files: ClassVar[Mapping[str, Any]] = {}
    #: and for such pictures where the prior has one size, which x therefore has
    for_fitted: ClassVar[Mapping[str, Any]] = {}

    #: the fields that are lengths in pixels of the picture; None where a resized picture has no such operator
    pixel_fields: ClassVar[tuple[str, ...] | None] = None

    #: the field that can be estimated from a picture, as ``auto``; None if there is none
    findable: ClassVar[str | None] = None

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        """The shape of the images whose measurements by an operator with these ``fields`` have shape ``measured``."""
        return measured

    @classmethod
    def of_resized(cls, factor: float, **fields: Any) -> dict[str, Any]:
        """The ``fields`` of the same operator on the picture made smaller by ``factor`` along each side.

        PosterioriError if the resized picture has no such operator.
        """
        if cls.pixel_fields is None:
            raise PosterioriError(
                f"{cls.name} is said of the file's pixels, and a resized picture has no such operator: take a prior of "
                "any size, like photo, or --fit crop"
            )
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        return fields | {name: fields.get(name, defaults[name]) / factor for name in cls.pixel_fields}

    @classmethod
    def seen(cls, **fields: Any) -> float:
        """The share of an image's entries that affect the measurement, for an operator with these ``fields``."""
        return 1.0

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """(top, left, height, width) of the part of an image (C, H, W) that y shows. The rest only reaches into it.

        In whole pixels of the image, also if y has fewer.
        """
        return 0, 0, self.shape[-2], self.shape[-1]

    def __matmul__(self, other: Operator) -> Operator:
        """A @ B applies B first, then A. Raises PosterioriError if A does not take the shape that B gives."""
        return Composition(other.shape, (*parts(self), *parts(other)))

    @cached_property
    def measured_shape(self) -> tuple[int, ...]:
        """The shape of one measurement A(x)."""
        return tuple(self(torch.zeros(1, *self.shape)).shape[1:])

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A(x), differentiable."""

    @abstractmethod
    def initial_estimate(self, y: Tensor) -> Tensor:
        """An image from the measurements ``y`` alone, (B, *shape). SDEdit and RED-diff start from it."""

    def zero_filled(self, y: Tensor) -> Tensor:
        """``y`` with zeros in the entries that are not observed."""
        return y

    def observed_entries(self, y: Tensor) -> Tensor:
        """The m observed entries of ``y``, (B, m)."""
        return y.flatten(1)

    def drawing(self, y: Tensor) -> tuple[str, Tensor] | None:
        """What ``y`` is, and a drawing of it, (B, 3, h, w) on [-1, 1]; None if y looks like x."""
        return None if len(self.measured_shape) == 3 else ("measurement", in_rows(y))


@dataclass(frozen=True)
class Composition(Operator):
    """A composition A = A_1 A_2 ... A_k. The last of ``parts`` is applied first.

    Made by ``A_1 @ A_2``. Its name joins their names with @.
    """

    parts: tuple[Operator, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for outer, inner in pairwise(self.parts):
            if outer.shape != inner.measured_shape:
                raise PosterioriError(
                    f"{outer.name} is for {outer.shape}, and {inner.name} of {inner.shape} gives "
                    f"{inner.measured_shape}: make {outer.name} for that shape"
                )
        object.__setattr__(self, "name", " @ ".join(part.name for part in self.parts))
        object.__setattr__(self, "averages", all(part.averages for part in self.parts))
        object.__setattr__(self, "overshoot", math.prod(1 + part.overshoot for part in self.parts) - 1)
        object.__setattr__(self, "ambiguous", any(part.ambiguous for part in self.parts))

    def __call__(self, x: Tensor) -> Tensor:
        for part in reversed(self.parts):
            x = part(x)
        return x

    def initial_estimate(self, y: Tensor) -> Tensor:
        for part in self.parts:
            y = part.initial_estimate(y)
        return y

    def zero_filled(self, y: Tensor) -> Tensor:
        return self.parts[0].zero_filled(y)

    def observed_entries(self, y: Tensor) -> Tensor:
        return self.parts[0].observed_entries(y)

    def drawing(self, y: Tensor) -> tuple[str, Tensor] | None:
        drawn = (part.drawing(y) for part in self.parts if part.measured_shape == y.shape[1:])
        return next((own for own in drawn if own), None)

    @property
    def frame(self) -> tuple[int, int, int, int]:
        top, left, height, width = self.parts[0].frame
        for part in self.parts[1:]:
            y, x, rows, columns = part.frame
            down, right = rows // part.measured_shape[-2], columns // part.measured_shape[-1]
            top, left, height, width = y + down * top, x + right * left, down * height, right * width
        return top, left, height, width


def parts(operator: Operator) -> tuple[Operator, ...]:
    """The operators of a composition, in the order in which they are written; ``operator`` itself if it is none."""
    return operator.parts if isinstance(operator, Composition) else (operator,)

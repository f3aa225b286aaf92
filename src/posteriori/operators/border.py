"""What a convolution assumes beyond the frame."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.linear import LinearOperator

#: the picture mirrored without its edge, the picture repeated, its edge repeated, or nothing: y is smaller
Border = Literal["reflect", "circular", "replicate", "valid"]
MEANING = "beyond the frame: the picture mirrored, the picture or its edge repeated; valid: y is smaller than x"

_PAD: dict[str, Literal["reflect", "wrap", "edge"]] = {"reflect": "reflect", "circular": "wrap", "replicate": "edge"}


def reach(length: int) -> tuple[int, int]:
    """(before, after): how many pixels a kernel of ``length`` needs on each side; its middle is at length // 2."""
    return (length - 1) // 2, length // 2


def columns(side: int, length: int, border: Border) -> np.ndarray:
    """Which of the ``side`` pixels stands at each position that a kernel of ``length`` covers."""
    if border == "valid":
        return np.arange(side)
    return np.pad(np.arange(side), reach(length), mode=_PAD[border])


def convolution(kernel: np.ndarray, side: int, border: Border) -> Tensor:
    """The matrix of the convolution of ``side`` pixels with a one-dimensional kernel, float64."""
    passed = columns(side, len(kernel), border)
    matrix = np.zeros((len(passed) - len(kernel) + 1, side))
    for row in range(len(matrix)):
        np.add.at(matrix[row], passed[row : row + len(kernel)], kernel[::-1])
    return torch.from_numpy(matrix)


@dataclass(frozen=True)
class Bordered(LinearOperator):
    """A convolution with an assumption about what lies beyond the frame. y has the size of the picture, or is smaller.

    The blur of a photograph also takes in light from beyond its frame, which no mirror image reproduces. With
    border=valid, x is larger than y by the reach of the kernel, and nothing is assumed beyond. Measurements that are
    not simulated are restored this way. A prior of one size has no room for a larger x. Its pictures are restored with
    the edge repeated, which is closer to what lies beyond than the mirror image.
    """

    for_files: ClassVar[Mapping[str, Any]] = {"border": "valid"}
    for_fitted: ClassVar[Mapping[str, Any]] = {"border": "replicate"}

    border: Annotated[Border, MEANING] = field(default="reflect", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for side, length in zip(self.shape[-2:], self.lengths, strict=True):
            self._fits(side, length)

    def _fits(self, side: int, length: int) -> None:
        radius = max(reach(length))
        if self.border != "valid" and radius >= side:
            raise PosterioriError(
                f"a blur that reaches {radius} pixels is too wide for {self.shape[-2]} x {self.shape[-1]}: "
                "give a smaller kernel"
            )
        if self.border == "valid" and length > side:
            raise PosterioriError(
                f"a kernel of {length} pixels leaves nothing of {self.shape[-2]} x {self.shape[-1]} with border=valid: "
                "give a smaller kernel"
            )

    @property
    @abstractmethod
    def lengths(self) -> tuple[int, int]:
        """The kernel's height and width, in pixels."""

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        if fields.get("border") != "valid":
            return measured
        fields = {**fields, "border": "replicate"}
        shape, last = (*measured[:-2], 2**20, 2**20), ()
        while shape != last:  # the kernel may follow the picture's size
            rows, columns = cls(shape, **fields).lengths
            last, shape = shape, (*measured[:-2], measured[-2] + rows - 1, measured[-1] + columns - 1)
        return shape

    @property
    def frame(self) -> tuple[int, int, int, int]:
        if self.border != "valid":
            return super().frame
        rows, columns = self.lengths
        return reach(rows)[0], reach(columns)[0], self.shape[-2] - rows + 1, self.shape[-1] - columns + 1

    def initial_estimate(self, y: Tensor) -> Tensor:
        """y, with its edge repeated around it if x is larger."""
        (height, width), (top, left, rows, columns) = self.shape[-2:], self.frame
        if (rows, columns) == (height, width):
            return y
        down = (torch.arange(height, device=y.device) - top).clamp(0, rows - 1)
        right = (torch.arange(width, device=y.device) - left).clamp(0, columns - 1)
        return y[..., down, :][..., right]

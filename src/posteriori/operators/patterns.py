"""Inpainting with generated masks: random pixels, a frame, and lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, final

import numpy as np
import torch
from annotated_types import Ge, Le
from PIL import Image, ImageDraw
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.mask import Masking


class _Drawn(Masking):
    """A mask that is the same in every channel."""

    def hidden(self, height: int, width: int) -> np.ndarray:
        """True where nothing is observed, (height, width)."""
        raise NotImplementedError

    @cached_property
    @torch.inference_mode(False)
    def keep(self) -> Tensor:
        hidden = self.hidden(*self.shape[-2:])
        if hidden.all():
            raise PosterioriError("the mask hides every pixel: nothing is left to restore from")
        return torch.from_numpy(~hidden).expand(self.shape).clone(memory_format=torch.contiguous_format)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.keep  # which says so where nothing is left


@final
@dataclass(frozen=True)
class RandomMask(_Drawn):
    """Inpainting: a random share of the pixels is hidden, in all channels.

    Paper: Zhang et al. 2025, "Improving diffusion inverse problem solving with decoupled noise annealing", section 4,
    hides 70%; Chung et al. 2023 hide 92%.
    """

    name: ClassVar[str] = "random-mask"

    share: Annotated[float, Ge(0), Le(1), "share of the pixels that is hidden, rounded to whole pixels"] = 0.7
    seed: Annotated[int, Ge(0), "seed of the mask"] = 0

    @classmethod
    def seen(cls, **fields: Any) -> float:
        return 1 - fields.get("share", cls.share)

    def hidden(self, height: int, width: int) -> np.ndarray:
        order = np.random.default_rng(self.seed).permutation(height * width)
        return (order < int(self.share * height * width + 0.5)).reshape(height, width)


@final
@dataclass(frozen=True)
class Outpaint(_Drawn):
    """Outpainting: a frame of fixed width around the picture is hidden."""

    name: ClassVar[str] = "outpaint"

    margin: Annotated[int | None, Ge(0), "width of the frame, in pixels; none: a quarter of the shorter side"] = None

    def __post_init__(self) -> None:
        if self.margin is None:
            object.__setattr__(self, "margin", min(self.shape[-2:]) // 4)
        super().__post_init__()

    def hidden(self, height: int, width: int) -> np.ndarray:
        margin, hidden = self.margin or 0, np.ones((height, width), dtype=bool)
        hidden[margin : height - margin, margin : width - margin] = False
        return hidden


@final
@dataclass(frozen=True)
class LineMask(_Drawn):
    """Inpainting: straight lines, like scratches, are hidden. Each crosses the picture at a random slant."""

    name: ClassVar[str] = "line-mask"

    count: Annotated[int, Ge(1), Le(10_000), "number of lines"] = 8
    width: Annotated[int, Ge(1), "width of a line, in pixels"] = 2
    seed: Annotated[int, Ge(0), "seed of the mask"] = 0

    def hidden(self, height: int, width: int) -> np.ndarray:
        canvas = Image.new("1", (width, height))
        rng, painter = np.random.default_rng(self.seed), ImageDraw.Draw(canvas)
        for number in range(self.count):
            start, end = rng.uniform(0, 1, 2)
            across = ((0, start * height), (width, end * height)), ((start * width, 0), (end * width, height))
            painter.line(across[number % 2], fill=1, width=self.width)
        return np.array(canvas)

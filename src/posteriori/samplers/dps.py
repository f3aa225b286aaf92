"""DPS: diffusion posterior sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from posteriori.samplers.guided import GuidedSampler


@final
@dataclass(frozen=True, kw_only=True)
class DPS(GuidedSampler):
    """x_{t-1} <- x_{t-1} - scale g / |g| with g = grad_{x_t} |y - A(x0hat)|_2: the report's section 3.5.

    With ``normalise`` off it is Chung et al. 2023, "Diffusion posterior sampling for general noisy
    inverse problems", algorithm 1 with zeta_t = scale / |y - A(x0hat)|, as their code has it:
    x_{t-1} - scale g. The report's scale is 0.3 for deconvolution and 1.0 for inpainting at 256 x 256:
    normalised, it is an L2 length over the whole image, in units of the [-1, 1] scale.
    """

    name: ClassVar[str] = "dps"
    strength: ClassVar[str] = "scale"
    lengths: ClassVar[tuple[str, ...]] = ("scale",)

    scale: float = 1.0
    normalise: bool = True

    def correction(self, g: Tensor, norm: Tensor, u: float) -> Tensor:
        return self.scale * g / norm.clamp(min=torch.finfo(g.dtype).tiny) if self.normalise else self.scale * g

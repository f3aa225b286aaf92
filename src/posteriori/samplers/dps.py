"""DPS: diffusion posterior sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor

from posteriori.samplers.guided import GuidedSampler


@final
@dataclass(frozen=True, kw_only=True)
class DPS(GuidedSampler):
    """Diffusion posterior sampling: each reverse step, then a step of one length down the residual's gradient.

    x_{t-1} <- x_{t-1} - scale g / |g| with g = grad_{x_t} |y - A(x0hat)|_2, the report's section 3.5: 0.3
    for deconvolution and 1.0 for inpainting at 256 x 256. With ``normalise`` off it is the paper's
    algorithm with zeta_t = scale / |y - A(x0hat)|, as their code has it: x_{t-1} - scale g.

    Paper: Chung et al. 2023, "Diffusion posterior sampling for general noisy inverse problems", algorithm 1.
    """

    name: ClassVar[str] = "dps"
    strength: ClassVar[str] = "scale"
    lengths: ClassVar[tuple[str, ...]] = ("scale",)

    scale: Annotated[float, "length of the step, L2 over the whole image on the [-1, 1] scale"] = 1.0
    normalise: Annotated[bool, "divide the gradient by its norm; off is the paper's code, and scale a factor"] = True

    def correction(self, g: Tensor, norm: Tensor, u: float) -> Tensor:
        return self.scale * g / norm.clamp(min=torch.finfo(g.dtype).tiny) if self.normalise else self.scale * g

"""DPS: diffusion posterior sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

import torch
from annotated_types import Ge
from torch import Tensor

from posteriori.samplers.guided import GuidedSampler


@final
@dataclass(frozen=True, kw_only=True)
class DPS(GuidedSampler):
    """Diffusion posterior sampling: each reverse step, then a step of fixed length down the residual's gradient.

    x_{t-1} <- x_{t-1} - scale g / |g|, with g = grad_{x_t} |r| and r = y - A(x0hat). This is the report's section 3.5,
    with scale 0.3 for deconvolution and 1.0 for inpainting at 256 x 256. The gradient includes the clamp of x0hat.

    With ``gradient`` "norm", the step is x_{t-1} - scale g, as in the paper's code. Algorithm 1 of the paper has zeta_t
    grad |r|^2 with zeta_t = zeta' / |r|, which is 2 zeta' g: the code's scale is 2 zeta'. With ``gradient`` "square",
    the step is x_{t-1} - scale grad_{x_t} |r|^2 = x_{t-1} - 2 scale |r| g, a constant times the likelihood's gradient.

    r is the likelihood's ``misfit``, in the units of A(x) and not of the noise. So ``scale`` means the same at any
    sigma_y, and without noise. For Poisson noise, each entry is weighted by its own variance.

    Operators and noise: any. Cost: one network call and one vjp a step.

    Paper: Chung et al. 2023, "Diffusion posterior sampling for general noisy inverse problems", algorithm 1.
    """

    name: ClassVar[str] = "dps"
    strength: ClassVar[str] = "scale"
    lengths: ClassVar[tuple[str, ...]] = ("scale",)

    scale: Annotated[float, Ge(0), "length of the step, L2 over the whole image on the [-1, 1] scale"] = 1.0
    gradient: Annotated[
        Literal["unit", "norm", "square"],
        "what scale multiplies: unit, the normalised gradient of |r|; norm, the gradient of |r| (the paper's code); "
        "square, the gradient of |r|^2",
    ] = "unit"

    def correction(self, g: Tensor, norm: Tensor, residual: Tensor, u: float) -> Tensor:
        if self.gradient == "unit":
            return self.scale * g / norm.clamp(min=torch.finfo(g.dtype).tiny)
        return self.scale * g if self.gradient == "norm" else self.scale * 2 * residual * g

"""ScoreALD, as the report defines it: DPS's gradient with an annealed factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge
from torch import Tensor

from posteriori.samplers.guided import GuidedSampler


@final
@dataclass(frozen=True, kw_only=True)
class ScoreALD(GuidedSampler):
    """Each reverse step, then a step down the residual's gradient with an annealed factor.

    x_{t-1} <- x_{t-1} - lambda_t grad_{x_t} |y - A(x0hat)|_2, with lambda_t linear in t from ``lambda_T`` to
    ``lambda_0``: 10 to 15 for deconvolution and 15 to 20 for inpainting at 256 x 256. The report names it after Jalal
    et al. 2021; their annealed Langevin dynamics are ``AnnealedLangevin``.

    Paper: the report, "Diffusion Models for Solving Inverse Problems", section 3.4.
    """

    name: ClassVar[str] = "scoreald"
    strength: ClassVar[str] = "lambda_0"
    lengths: ClassVar[tuple[str, ...]] = ("lambda_T", "lambda_0")

    lambda_T: Annotated[float, Ge(0), "factor of the gradient at t = T, the noisy end, on the [-1, 1] scale"] = 10.0
    lambda_0: Annotated[float, Ge(0), "factor of the gradient at t = 0, the clean end; linear in t between"] = 15.0

    def correction(self, g: Tensor, norm: Tensor, residual: Tensor, u: float) -> Tensor:
        return (self.lambda_0 + (self.lambda_T - self.lambda_0) * u) * g

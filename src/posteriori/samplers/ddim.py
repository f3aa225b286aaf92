"""The reverse process alone: DDPM and DDIM in one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from posteriori.guidance.base import ReverseGuidance
from posteriori.likelihoods.base import Likelihood
from posteriori.priors.base import Denoised, Prior
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class DDIM(ReverseGuidance):
    """The prior alone, without data: DDPM with eta = 1, DDIM with less.

    Paper: Ho et al. 2020, "Denoising diffusion probabilistic models", algorithm 2; Song et al. 2021, "Denoising
    diffusion implicit models", eq. 12.
    """

    name: ClassVar[str] = "ddim"

    def __call__(self, x_t: Tensor, t: Level, prior: Prior, like: Likelihood) -> Denoised:
        return prior.estimate(x_t, t, self.clip)

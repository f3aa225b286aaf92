"""What noise models share if entries are independent given A(x): mean, variance and density, entry by entry."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Measured
from posteriori.rng import Rng

#: the intensity of black: what a sensor counts in the dark, as a share of white's
DARK = 1e-3


class Independent(Measured):
    """y_i depends on a_i = A(x)_i alone.

    The residual is Pearson's, (y - E[y | a]) divided by its standard deviation, which is held fixed in the gradient:
    iteratively reweighted least squares (McCullagh and Nelder 1989, "Generalized linear models", section 2.5).
    """

    @abstractmethod
    def moments(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """E[y | a] and Var[y | a]."""

    @abstractmethod
    def log_density(self, y: Tensor, a: Tensor) -> Tensor:
        """log p(y | a)."""

    def residual(self, x: Tensor) -> Tensor:
        y, a = self._entries(x)
        mean, variance = self.moments(a)
        return (y - mean) / variance.detach().sqrt()

    def misfit(self, x: Tensor) -> Tensor:
        _, variance = self.moments(self._entries(x)[1].detach())
        return self.residual(x) * variance.mean(1, keepdim=True).sqrt()

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_density(*self._entries(x)).sum(1)

    def _check_light(self, instead: str) -> None:
        """PosterioriError, which says to give ``instead``, if an observed y is below black, -1."""
        least = self.operator.observed_entries(self.y).min()
        if least < -1 - 1e-5:
            raise PosterioriError(f"y goes down to {least:.4g}: give {instead}")

    def _entries(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """y and A(x) in the m observed entries, (B, m) each."""
        return self.operator.observed_entries(self.y), self.operator.observed_entries(self.operator(x))


def intensity(clean: Tensor) -> Tensor:
    """I = (A(x) + 1) / 2 for ``clean`` A(x), at least ``DARK``."""
    return ((clean + 1) / 2).clamp(min=DARK)


def normals(clean: Tensor, rng: Rng) -> np.ndarray:
    """The normal numbers z that Gaussian noise on ``clean`` would have, float64. Other noises are quantiles at Phi(z).

    So draws do not depend on the processor.
    """
    return rng.normal(clean.shape[1:]).cpu().double().numpy()

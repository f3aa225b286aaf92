"""Salt and pepper: some entries are black or white, and it is unknown which."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import numpy as np
import torch
from annotated_types import Gt, Le
from scipy.special import ndtr
from torch import Tensor

from posteriori.likelihoods.base import Noise
from posteriori.likelihoods.independent import Independent, normals
from posteriori.operators.base import Operator
from posteriori.rng import Rng


@final
class SaltAndPepper(Independent):
    """y = v + sigma n, where v is A(x), or with probability ``share`` black or white, -1 or 1, equally likely.

    The density is this mixture. Its score is (y - A(x)) / sigma^2 times w, the probability given y and x that the entry
    is no impulse: outliers have no effect. The residual is sqrt(w / (1 - share)) (y - A(x)) / sigma with w held fixed.
    Its square is 1 on average for the truth, and it has this score, times 1 / (1 - share): iteratively reweighted least
    squares, and EM.

    Source: Huber 1964, "Robust estimation of a location parameter", for contaminated normal noise.
    """

    noise: ClassVar[str] = "salt and pepper"

    def __init__(self, y: Tensor | np.ndarray, operator: Operator, share: float, sigma: float):
        noise = SaltAndPepperNoise(share, sigma)  # which has the bounds
        super().__init__(y, operator)
        self.share, self.sigma = float(noise.share), float(noise.sigma)

    def moments(self, a: Tensor) -> tuple[Tensor, Tensor]:
        mean = (1 - self.share) * a
        return mean, self.sigma**2 + self.share + (1 - self.share) * a.square() - mean.square()

    def log_density(self, y: Tensor, a: Tensor) -> Tensor:
        return self._parts(y, a).logsumexp(0)

    def residual(self, x: Tensor) -> Tensor:
        y, a = self._entries(x)
        weight = self._parts(y, a).softmax(0)[0].detach()
        return (weight / (1 - self.share)).sqrt() * (y - a) / self.sigma

    def misfit(self, x: Tensor) -> Tensor:
        return self.sigma * self.residual(x)

    def _parts(self, y: Tensor, a: Tensor) -> Tensor:
        """log of the densities of y as no impulse, white and black, times their probabilities: (3, B, m)."""
        values = torch.stack([a, torch.ones_like(a), -torch.ones_like(a)])
        shares = torch.tensor([1 - self.share, self.share / 2, self.share / 2]).to(a).log()
        square = ((y - values) / self.sigma).square()
        return shares[:, None, None] - square / 2 - math.log(self.sigma * math.sqrt(2 * math.pi))


@final
@dataclass(frozen=True)
class SaltAndPepperNoise(Noise[SaltAndPepper]):
    """Salt and pepper: a share of the entries is replaced by black or white, and all have Gaussian noise."""

    name: ClassVar[str] = "salt-and-pepper"

    share: Annotated[float, Gt(0), Le(0.99), "share of the entries that are replaced by black or white"]
    sigma: Annotated[float, Gt(0), "standard deviation of the Gaussian noise of all entries, on the [-1, 1] scale"] = (
        0.05
    )

    @property
    def level(self) -> float:
        return self.sigma

    def likelihood(self, y: Tensor | np.ndarray, operator: Operator) -> SaltAndPepper:
        return SaltAndPepper(y, operator, self.share, self.sigma)

    def draw(self, clean: Tensor, rng: Rng) -> Tensor:
        u = torch.from_numpy(ndtr(normals(clean, rng))).to(clean.device)
        white, black = u < self.share / 2, u > 1 - self.share / 2
        value = clean.masked_fill(white, 1.0).masked_fill(black, -1.0)
        return value + self.sigma * rng.normal(clean.shape[1:])

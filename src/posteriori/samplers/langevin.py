"""Langevin steps towards the measurement, starting near the answer: DAPS and PnP-DM share them."""

from __future__ import annotations

import math

from torch import Tensor

from posteriori.likelihoods.base import Likelihood
from posteriori.rng import Rng


def langevin(centre: Tensor, std: float, like: Likelihood, eta: float, steps: int, rng: Rng) -> Tensor:
    """A sample of about p(y | x) N(x; centre, std^2 I), by ``steps`` Langevin steps from ``centre``, (B, *shape):

    x <- x + eta ((centre - x) / std^2 + grad log p(y | x)) + sqrt(2 eta) eps.
    """
    x = centre
    for _ in range(steps):
        drift = (centre - x) / std**2 + like.score(x)
        x = x + eta * drift + math.sqrt(2 * eta) * rng.normal(x.shape[1:])
    return x

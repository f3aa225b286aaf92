"""What a recorded chain does not say of MGDM; the chain is in ``test_official``."""

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.operators import Identity
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import MGDM
from posteriori.samplers.mgdm import _between
from tests.helpers import LINEAR, Bulk, normal

ROWS = 2000


def test_taus_are_even_between_a_hundredth_and_s():
    taus = torch.tensor([_between(0.5, k) for k in range(1, 64)], dtype=torch.float64)
    expected = 0.01 + 0.49 * torch.arange(1, 64, dtype=torch.float64) / 64
    torch.testing.assert_close(taus.sort().values, expected)
    assert _between(0.5, 1) == pytest.approx((0.01 + 0.5) / 2)


def test_x_tau_has_the_conditional_law_where_that_has_independent_entries():
    """A Gaussian prior and likelihood of independent entries: the family holds q(x_tau) p(y | x0hat(x_tau))."""
    tau, mean, std, sigma = LINEAR.level(100), 0.3 * normal(4, seed=1), 0.3, 0.2
    variances = torch.tensor([0.5, 1.0, 2.0, 4.0])
    prior = GaussianMixture(torch.zeros(1, 4), variances.diag()[None])
    like = Gaussian(0.3 * normal(1, 4, seed=2), Identity((4,)), sigma).expand(ROWS)
    sampler = MGDM(late_steps=500, learning_rate=0.005)
    x = sampler._towards_y(mean.expand(ROWS, 4), std, tau, 0.1, prior, like, Bulk(ROWS))
    gain = tau.alpha * variances / (tau.alpha**2 * variances + tau.sigma**2)  # x0hat = gain x_tau
    precision = 1 / std**2 + gain**2 / sigma**2
    expected = (mean / std**2 + gain * like.y[0] / sigma**2) / precision
    assert ((x.mean(0) - expected).abs() * precision.sqrt()).max() < 0.1
    ratio = x.var(0) * precision  # Adam's own noise, one draw a step, adds up to 0.3 at this rate; q alone has 2.6
    assert 0.9 < ratio.min() < ratio.max() < 1.4

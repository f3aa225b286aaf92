"""A prior of colours for grey pictures."""

import pytest
import torch

from posteriori.priors.base import Denoised, Prior
from posteriori.priors.channels import Grey
from posteriori.schedule import linear_betas


class Seen(Prior):
    """A prior that keeps what it is given."""

    shape, schedule = (3, 128, 128), linear_betas(50)

    def denoise(self, x_t, t):
        self.x_t, self.level = x_t, t
        return Denoised(x_t)


def test_grey_noise_becomes_noise_of_all_directions_of_colour():
    prior, sigma = Seen(), 0.2
    n = torch.randn(2, 1, 128, 128, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    level = prior.schedule.at_noise(sigma)
    x0 = Grey(prior, 0).denoise(sigma * n, level).x0
    told = prior.level.sigma_bar
    assert told == pytest.approx(sigma * 3**0.5)
    covariance = prior.x_t.transpose(0, 1).flatten(1).cov()
    torch.testing.assert_close(covariance, told**2 * torch.eye(3), atol=0.02 * told**2, rtol=0)
    torch.testing.assert_close(x0, sigma * n, atol=1e-6, rtol=0)
    alone = Grey(prior, 0).denoise(sigma * n[:1], level)
    torch.testing.assert_close(alone.x0, x0[:1])
    given = prior.x_t
    Grey(prior, 1).denoise(sigma * n[:1], level)
    assert not torch.equal(prior.x_t, given), "the noise is the seed's"

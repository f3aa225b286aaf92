"""Two networks as one prior: each is asked at its own levels."""

import pytest
import torch

from posteriori.errors import PosterioriError
from posteriori.likelihoods import Flat
from posteriori.loop import sample
from posteriori.priors.experts import Experts
from posteriori.priors.gaussian import LowRankGaussian
from posteriori.samplers import DDIM


def gaussian(mean: float, d: int = 4) -> LowRankGaussian:
    return LowRankGaussian(torch.full((d,), mean), torch.eye(d)[:, :1], torch.ones(1), 0.5)


LOW, HIGH = gaussian(0.0), gaussian(1.0)


def test_the_network_of_noisy_levels_is_asked_from_its_level_on():
    both, x_t = Experts(LOW, HIGH, 0.5), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    for sigma, own in ((0.1, LOW), (0.49, LOW), (0.51, HIGH), (20.0, HIGH)):
        t = both.schedule.at_noise(sigma)
        assert torch.equal(both.denoise(x_t, t).x0, own.denoise(x_t, t).x0)


def test_two_that_are_the_same_sample_as_one():
    settings = {"progress": False, "seed": 3}
    one, two = (sample(p, Flat(2, (4,)), DDIM(steps=10), **settings) for p in (LOW, Experts(LOW, LOW, 1.0)))
    assert torch.equal(one, two)


def test_two_of_different_shapes_are_refused():
    with pytest.raises(PosterioriError, match=r"give two of the same shape"):
        Experts(LOW, gaussian(0.0, 5), 1.0)

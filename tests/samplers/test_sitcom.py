"""A Gaussian prior, where x0hat is linear: a level's minimum has a closed form. The chain is in ``test_official``."""

import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import SITCOM
from posteriori.schedule import CLEAN
from tests.helpers import LINEAR, covariance, normal

MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
OPERATOR = Dense((4,), normal(2, 4, seed=2) / 2)


def test_a_levels_minimum_is_the_ridge_regressions():
    t, weight = LINEAR.level(300), 0.3
    x_t, y = normal(3, 4, seed=4, dtype=torch.float64), normal(3, 2, seed=3, dtype=torch.float64)
    sampler = SITCOM(inner=800, learning_rate=0.01, lambda_=weight, tolerance=0.0)
    like = Gaussian(y, OPERATOR, 0.1)
    x0 = sampler.step(State(x_t, t), CLEAN, PRIOR, like, Tape([torch.zeros(3, 4)])).x0
    D = t.alpha * C @ (t.alpha**2 * C + t.sigma**2 * torch.eye(4)).inverse()
    offset, M = MEAN.double() - D @ (t.alpha * MEAN.double()), OPERATOR.matrix.double()
    MD = M @ D
    right = (y - offset @ M.T) @ MD + weight * x_t
    v = torch.linalg.solve(MD.T @ MD + weight * torch.eye(4), right.T).T
    torch.testing.assert_close(x0, v @ D.T + offset, atol=1e-3, rtol=0)


def calls(sampler, sigma, y):
    prior = CountedPrior(PRIOR)
    sample(prior, Gaussian(y, OPERATOR, sigma), sampler, progress=False)
    return prior.images


def test_a_level_ends_where_the_noise_is_reached_and_never_without_noise():
    y = OPERATOR(MEAN[None])  # which the first estimates explain, as far as noise of 100 goes
    assert calls(SITCOM(steps=3, inner=5), 100.0, y) == 3
    assert calls(SITCOM(steps=3, inner=5), 1e-4, y) == 15
    assert calls(SITCOM(steps=3, inner=5), 0.0, y) == 15


def test_the_tolerance_is_in_standard_deviations():
    x0 = MEAN[None]
    like = Gaussian(OPERATOR(x0) + 3**0.5, OPERATOR, 1.0)  # 3 in place of the noise's 1, in squares
    assert SITCOM(tolerance=1.8)._explains(x0, like)
    assert not SITCOM(tolerance=1.7)._explains(x0, like)


def test_a_sample_that_is_explained_stays_where_it_is():
    t, x_t = LINEAR.level(300), normal(2, 4, seed=4)
    x0 = PRIOR.denoise(x_t, t).x0
    like = Gaussian(OPERATOR(x0) + torch.tensor([[0.0], [5.0]]), OPERATOR, 0.1)
    found = SITCOM(inner=5).step(State(x_t, t), CLEAN, PRIOR, like, Tape([torch.zeros(2, 4)])).x0
    assert torch.equal(found[0], x0[0])
    assert (found[1] - x0[1]).abs().max() > 0.01

"""A Gaussian prior and a linear measurement: every state of the chain is Gaussian, with moments that follow exactly."""

import math

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import AnnealedLangevin
from tests.helpers import LINEAR, Bulk, covariance, normal, standard_errors_off

ROWS = 10_000
MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
OPERATOR = Dense((4,), normal(2, 4, seed=2))
LIKE = Gaussian(normal(1, 2, seed=3), OPERATOR, 0.4)


def exact_law(sampler):
    """Mean and covariance of what the sampler draws, by running its update on the moments."""
    A, y, eye = OPERATOR.matrix.double(), LIKE.y[0].double(), torch.eye(4, dtype=torch.float64)
    path = sampler.path(LINEAR)
    m = torch.zeros(4, dtype=torch.float64)
    V = (1 + path[0].sigma ** 2) * eye
    for t in path[:-1]:
        gain = C @ (C + t.sigma**2 * eye).inverse()  # x0hat = MEAN + gain (x - MEAN)
        eta = sampler.step_size * t.sigma**2
        noise = (sampler.gamma * t.sigma) ** 2 + LIKE.sigma**2
        M = eye + eta * ((gain - eye) / t.sigma**2 - A.T @ A / noise)
        b = eta * ((eye - gain) @ MEAN.double() / t.sigma**2 + A.T @ y / noise)
        for _ in range(sampler.inner):
            m, V = M @ m + b, M @ V @ M.T + 2 * eta * eye
    m = MEAN.double() + gain @ (m - MEAN.double())
    return m, gain @ V @ gain.T


@pytest.mark.parametrize("settings", [{}, {"step_size": 0.3, "gamma": 1.5, "inner": 2}])
def test_samples_follow_the_exact_law_of_the_chain(settings):
    sampler = AnnealedLangevin(levels=60, **settings)
    x = sample(PRIOR, LIKE, sampler, n=ROWS, rng=lambda rows: Bulk(ROWS), progress=False)[0]
    assert standard_errors_off(x, *exact_law(sampler)) < 4


def test_noise_times_1_05_is_noticed():
    sampler = AnnealedLangevin(levels=60)
    x = sample(PRIOR, LIKE, sampler, n=ROWS, rng=lambda rows: Bulk(ROWS, factor=1.05), progress=False)[0]
    assert standard_errors_off(x, *exact_law(sampler)) > 4


@pytest.mark.parametrize(("levels", "inner"), [(1000, 3), (1000, 10)])
def test_the_law_is_near_the_posterior(levels, inner):
    """A direction of posterior precision p relaxes at the rate step sigma^2 p: it freezes at the level
    sigma_f where what is left of the annealing, levels inner step / log(sigma_1 / sigma_L) relaxations of
    sigma^2 p, has come down to about one. sigma_f^2 p is therefore the relative error of the covariance.
    """
    sampler = AnnealedLangevin(levels=levels, inner=inner)
    path, posterior = sampler.path(LINEAR), PRIOR.posterior(LIKE)
    frozen = math.log(path[0].sigma / path[-2].sigma) / (levels * inner * sampler.step_size)
    m, V = exact_law(sampler)
    whiten = torch.linalg.cholesky(posterior.covariance()).inverse()
    off_mean = (whiten @ (m - posterior.mean())).norm()
    off_covariance = torch.linalg.matrix_norm(whiten @ V @ whiten.T - torch.eye(4), 2)
    assert frozen < 0.05
    assert off_mean < 3 * frozen
    assert off_covariance < 3 * frozen

"""A Gaussian prior and a linear measurement: every state of the chain is Gaussian, with moments that follow exactly."""

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DAPS
from posteriori.schedule import Level
from tests.helpers import LINEAR, Bulk, covariance, normal, standard_errors_off

ROWS = 10_000
MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
OPERATOR = Dense((4,), normal(2, 4, seed=2) / 4)
LIKE = Gaussian(normal(1, 2, seed=3), OPERATOR, 0.4)


def edm(first, last, steps):
    """EDM's levels, rho = 7, without the last, and 0."""
    a, b = first ** (1 / 7), last ** (1 / 7)
    return [*((a + k / steps * (b - a)) ** 7 for k in range(steps)), 0.0]


def exact_law(sampler, noise=None):
    """Mean and covariance of what the sampler draws; ``noise`` is the variance that the likelihood is taken with."""
    A, y, eye = OPERATOR.matrix.double(), LIKE.y[0].double(), torch.eye(4, dtype=torch.float64)
    noise, m0 = noise or LIKE.sigma**2, MEAN.double()
    levels = edm(sampler.sigma_max, sampler.sigma_min, sampler.steps)
    m, V = torch.zeros(4, dtype=torch.float64), (1 + levels[0] ** 2) * eye
    for i, sigma in enumerate(levels[:-1]):
        for u, v in zip(*(edm(sigma, 0.01, sampler.ode_steps)[k:] for k in (0, 1)), strict=False):
            M = v / u * eye + (1 - v / u) * C @ (C + u**2 * eye).inverse()
            m, V = M @ (m - m0) + m0, M @ V @ M.T
        eta = sampler.step_size * (1 - 0.99 * i / sampler.steps)
        precision = eye / sigma**2 + A.T @ A / noise
        M = eye - eta * precision
        kept = torch.linalg.matrix_power(M, sampler.langevin_steps)
        # geometric series of the drift and of the noise
        drawn = (eye - kept) @ precision.inverse()
        noises = 2 * eta * (eye - kept @ kept) @ (eye - M @ M).inverse()
        from_x0 = kept + drawn / sigma**2
        m = from_x0 @ m + drawn @ A.T @ y / noise
        V = from_x0 @ V @ from_x0.T + noises + levels[i + 1] ** 2 * eye
    return m, V


def draw(sampler, factor=1.0):
    return sample(PRIOR, LIKE, sampler, n=ROWS, rng=lambda rows: Bulk(ROWS, factor=factor), progress=False)[0]


SMALL = {"steps": 20, "langevin_steps": 10}


@pytest.mark.parametrize(
    ("settings", "noise"),
    [({"tau": None, "step_size": 0.03}, None), ({"tau": 0.1, "step_size": 0.003}, 0.1**2 / 2), ({}, 0.01**2 / 2)],
)
def test_samples_follow_the_exact_law_of_the_chain(settings, noise):
    sampler = DAPS(**SMALL, **settings)
    assert standard_errors_off(draw(sampler), *exact_law(sampler, noise)) < 4


def test_noise_times_1_05_is_noticed():
    sampler = DAPS(**SMALL, tau=None, step_size=0.03)
    assert standard_errors_off(draw(sampler, 1.05), *exact_law(sampler)) > 4


def distance(sampler, noise=None):
    """The largest deviation of the law's mean and covariance from the posterior's, in its standard deviations."""
    posterior = PRIOR.posterior(LIKE)
    whiten = torch.linalg.cholesky(posterior.covariance()).inverse()
    m, V = exact_law(sampler, noise)
    off = torch.linalg.matrix_norm(whiten @ V @ whiten.T - torch.eye(4), 2)
    return (whiten @ (m - posterior.mean())).norm().item(), off.item()


def test_untempered_the_law_comes_near_the_posterior_with_one_ode_step():
    # N(x0, sigma^2 I) is p(x_0 | x_t) at low noise where x0 is its mean; a sample in its place doubles the variance
    settings = {"tau": None, "step_size": 0.01, "steps": 1000, "sigma_max": 2.0}
    mean, covariance = distance(DAPS(ode_steps=1, **settings))
    assert mean < 0.1
    assert covariance < 0.1
    assert distance(DAPS(ode_steps=10, **settings))[1] > 0.5
    assert distance(DAPS(ode_steps=1, **settings), noise=2 * LIKE.sigma**2)[0] > 0.2


def test_the_published_likelihood_has_tau_and_no_half():
    # one Langevin step: x0 - eta grad |y - A x0|^2 / tau^2, and its noise
    x_t, noise, eps = (normal(3, 4, seed=k) for k in (4, 5, 6))
    t, s, like = Level(1, 1.0, 100.0), Level(1, 1.0, 90.0), Gaussian(normal(3, 2, seed=3), OPERATOR, 0.05)
    state = DAPS(langevin_steps=1).step(State(x_t, t), s, PRIOR, like, Tape([noise, eps]))
    A, x0 = OPERATOR.matrix, state.x0
    drawn = (2 * 5e-5) ** 0.5 * noise + 90 * eps
    torch.testing.assert_close(state.x - drawn, x0 + 5e-5 * 2 * (like.y - x0 @ A.T) @ A / 0.01**2, atol=2e-5, rtol=0)
    x = DAPS(langevin_steps=1, tau=None).step(State(x_t, t), s, PRIOR, like, Tape([noise, eps])).x
    torch.testing.assert_close(x - drawn, x0 + 5e-5 * (like.y - x0 @ A.T) @ A / 0.05**2, atol=2e-5, rtol=0)


def test_the_papers_cost_and_levels():
    prior = CountedPrior(PRIOR)
    sample(prior, LIKE, DAPS(langevin_steps=1), progress=False)
    assert prior.calls == 1000
    sigmas = [level.sigma for level in DAPS().path(LINEAR)]
    assert sigmas == pytest.approx(edm(100, 0.1, 200))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"steps": 0}, "steps is 0: give at least 1"),
        ({"ode_steps": 0}, "ode_steps is 0: give at least 1"),
        ({"langevin_steps": 0}, "langevin_steps is 0: give at least 1"),
        ({"step_size": 0.0}, "step_size is 0.0: give a finite number above 0"),
        ({"tau": 0.0}, "tau is 0.0: give a finite number above 0, or none"),
        ({"sigma_min": 200.0}, "sigma_min is 200.0, sigma_max 100.0: give a sigma_min below sigma_max"),
        ({"sigma_min": 100.0}, "sigma_min is 100.0, sigma_max 100.0: give a sigma_min below sigma_max"),
    ],
)
def test_what_cannot_be_is_refused(bad, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        DAPS(**bad)

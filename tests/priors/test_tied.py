import math

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.priors.tied import TiedMixture
from posteriori.schedule import CLEAN, Level
from tests.helpers import LINEAR, image_mixture, normal, small_operators, standard_errors_off

LEVELS = [LINEAR.level(t) for t in (1, 200, 600, 1000)] + [Level(0, 1.0, 0.4), Level(0, 0.7, 2.0)]
WEIGHTS = torch.tensor([1.0, 2.0, 3.0])


def tied(shape=(5,), r=2):
    d = math.prod(shape)
    axes = torch.linalg.qr(normal(d, r, seed=3, dtype=torch.float64))[0]
    return TiedMixture(2 * normal(3, *shape, seed=1), axes, torch.linspace(0.1, 2, r), 0.7, WEIGHTS)


def full(prior):
    """The same mixture with a covariance matrix for each component."""
    U, v = prior.axes, prior.variances
    C = U * v @ U.T + prior.rest * (torch.eye(len(U)) - U @ U.T)
    return GaussianMixture(prior.means.unflatten(1, prior.shape), C.expand(len(prior.means), -1, -1), prior.weights)


@pytest.mark.parametrize("r", [0, 2, 5])
@pytest.mark.parametrize("t", LEVELS)
def test_denoiser_and_density_are_the_full_mixtures(t, r):
    prior, x = tied(r=r), 2 * normal(6, 5, dtype=torch.float64)
    torch.testing.assert_close(prior.denoise(x, t).x0, full(prior).denoise(x, t).x0, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(prior.log_prob(x, t), full(prior).log_prob(x, t), atol=1e-9, rtol=1e-9)


def test_without_noise():
    x = normal(4, 5)
    assert torch.equal(tied().denoise(x, CLEAN).x0, x)
    torch.testing.assert_close(tied().log_prob(x, CLEAN), full(tied()).log_prob(x, CLEAN))


def test_moments_and_draws():
    prior = tied()
    torch.testing.assert_close(prior.mean(), full(prior).mean())
    torch.testing.assert_close(prior.covariance(), full(prior).covariance())
    x = prior.draw(20_000, seed=3)
    assert x.dtype == torch.float32
    assert standard_errors_off(x, prior.mean(), prior.covariance()) < 4


@pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)
def test_the_posterior_of_images_is_the_full_mixtures(operator):
    prior = tied((3, 8, 8), r=7)
    same(prior, Gaussian.simulate(image_mixture().draw(1), operator, 0.5))


@pytest.mark.parametrize("r", [0, 2, 5])
def test_the_posterior_is_the_full_mixtures(r):
    prior, operator = tied(r=r), Dense((5,), normal(2, 5, seed=8))
    like = Gaussian.simulate(normal(1, 5, seed=4), operator, 0.8)
    same(prior, like)
    again = Gaussian.simulate(normal(1, 5, seed=5), operator, 0.3)
    same(prior.posterior(like), again)


def same(prior, like):
    found, expected = prior.posterior(like), full(prior).posterior(like)
    torch.testing.assert_close(found.weights, expected.weights, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.means, expected.means, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.covariance(), expected.covariance(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TiedMixture(torch.zeros(2, 3), torch.eye(3), torch.ones(2), 1.0), r"need \(3, 2\)"),
        (lambda: TiedMixture.isotropic(torch.zeros(2, 3), -1.0), "numbers from 0 up"),
        (lambda: TiedMixture.isotropic(torch.zeros(2, 3), 1.0, torch.ones(3)), "give 2 numbers"),
        (lambda: tied().posterior(Gaussian(torch.zeros(1, 1), Dense((5,), torch.ones(1, 5)), 0.0)), "sigma > 0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

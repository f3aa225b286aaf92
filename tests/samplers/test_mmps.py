import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DDIM, MMPS
from posteriori.schedule import Level
from tests.helpers import Bulk, covariance, normal, standard_errors_off

MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
LIKE = Gaussian(normal(1, 2, seed=3), Dense((4,), normal(2, 4, seed=2)), 0.3)


def off(sampler, like=LIKE):
    """How far the chain is from the reverse chain of the exact E[x_0 | x_t, y], draw for draw."""
    found = sample(PRIOR, like, sampler, n=3, keys=[7], progress=False)
    exact = DDIM(steps=sampler.steps, eta=sampler.eta)
    return (found - sample(PRIOR.posterior(like), Flat(1, (4,)), exact, n=3, keys=[7], progress=False)).abs().max()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_for_a_gaussian_prior_the_chain_is_that_of_the_exact_posterior(eta):
    assert off(MMPS(steps=50, eta=eta, iterations=2)) < 1e-4
    assert off(MMPS(steps=50, eta=eta, iterations=5)) < 1e-4
    assert off(MMPS(steps=50, eta=eta, iterations=1)) > 0.02  # two eigenvalues need two


def test_samples_have_the_posteriors_mean_and_covariance():
    rows = 1000
    x = sample(PRIOR, LIKE, MMPS(steps=200, iterations=2), n=rows, rng=lambda _: Bulk(rows), progress=False)[0]
    posterior = PRIOR.posterior(LIKE)
    assert standard_errors_off(x, posterior.mean(), posterior.covariance()) < 4


def test_variance_exploding_levels_too():
    x_t, noise = normal(3, 4, seed=4), normal(3, 4, seed=5)
    t, s = Level(0, 1.0, 3.0), Level(0, 1.0, 2.0)
    found = MMPS(iterations=2).step(State(x_t, t), s, PRIOR, LIKE.expand(3), Tape([noise])).x
    exact = DDIM().step(State(x_t, t), s, PRIOR.posterior(LIKE), Flat(3, (4,)), Tape([noise])).x
    torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-5)


def test_one_network_call_a_step():
    prior = CountedPrior(PRIOR)
    sample(prior, LIKE, MMPS(steps=20, iterations=3), progress=False)
    assert prior.calls == 20


def test_iterations_start_at_one():
    with pytest.raises(ValueError, match="iterations is 0"):
        MMPS(iterations=0)


def test_the_papers_defaults():
    assert (MMPS().steps, MMPS().iterations) == (256, 3)

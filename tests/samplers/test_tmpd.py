import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DDIM, TMPD
from posteriori.schedule import CLEAN
from tests.helpers import LINEAR, covariance, normal

MEAN, C = normal(4, seed=1), covariance(4)
A = normal(2, 4, seed=2)
T = LINEAR.level(300)
X_T, NOISE = normal(3, 4, seed=4), normal(3, 4, seed=5)


@pytest.mark.parametrize("sigma_y", [0.0, 0.3])
def test_a_step_is_the_papers(sigma_y):
    prior, like = GaussianMixture(MEAN[None], C[None]), Gaussian(normal(3, 2, seed=3), Dense((4,), A), sigma_y)
    found = TMPD().step(State(X_T, T), CLEAN, prior, like, Tape([NOISE])).x
    # Cov[x_0 | x_t] of a Gaussian, and its rows' sums as y sees them
    cov = torch.linalg.inv(torch.linalg.inv(C) + (T.alpha / T.sigma) ** 2 * torch.eye(4))
    x0, a = prior.denoise(X_T, T).x0.double(), A.double()
    sums = (a @ cov @ a.T).sum(1)
    assert (sums > 0).all()
    expected = x0 + ((like.y.double() - x0 @ a.T) / (sigma_y**2 + sums)) @ a @ cov
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)


def test_where_the_entries_of_y_are_independent_the_chain_is_that_of_the_exact_posterior():
    prior = GaussianMixture(MEAN[None], torch.diag(torch.tensor([0.1, 0.5, 1.0, 2.0]))[None])
    like = Gaussian(normal(1, 2, seed=3), Dense((4,), torch.tensor([[1.0, 0, 0, 0], [0, 0, 0.5, 0]])), 0.3)
    found = sample(prior, like, TMPD(steps=50), n=3, keys=[7], progress=False)
    exact = sample(prior.posterior(like), Flat(1, (4,)), DDIM(steps=50), n=3, keys=[7], progress=False)
    torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-4)


def test_a_negative_sum_counts_as_no_variance_and_no_step_is_farther_from_the_solution_than_none():
    # two opposite views of one coordinate, of which the second is fainter
    prior = GaussianMixture(MEAN[None], torch.eye(4)[None])
    a = torch.tensor([[1.0, 0, 0, 0], [-0.5, 0, 0, 0]])
    like = Gaussian(normal(3, 2, seed=3), Dense((4,), a), 0.3)
    found = TMPD().step(State(X_T, T), CLEAN, prior, like, Tape([NOISE])).x
    x0 = prior.denoise(X_T, T).x0
    v = 1 / (1 + (T.alpha / T.sigma) ** 2)
    variance = 0.3**2 + torch.tensor([0.5 * v, 0.0])
    misfit, m = like.y - x0 @ a.T, 0.3**2 * torch.eye(2) + v * a @ a.T
    step = misfit / variance
    most = 2 * (step * misfit).sum(1) / ((step @ m) * step).sum(1)
    assert (most < 1).tolist() == [True, False, False]
    step = most.clamp(max=1)[:, None] * step
    torch.testing.assert_close(found, x0 + v * step @ a, atol=1e-5, rtol=1e-5)
    solution = torch.linalg.solve(m, misfit.T).T
    own, none = (((u - solution) @ m * (u - solution)).sum(1) for u in (step, torch.zeros(3, 2)))
    assert (own <= none * (1 + 1e-4)).all()


def test_one_network_call_and_two_vjps_a_step():
    prior = CountedPrior(GaussianMixture(MEAN[None], C[None]))
    sample(prior, Gaussian(normal(1, 2, seed=3), Dense((4,), A), 0.3), TMPD(steps=20), progress=False)
    assert (prior.calls, prior.vjps) == (20, 40)

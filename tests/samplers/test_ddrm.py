import math
from itertools import pairwise

import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.samplers import DDRM
from tests.helpers import LINEAR, covariance, image_mixture, normal, small_operators

PRIOR = GaussianMixture(normal(1, 4, seed=1), covariance(4)[None])
S = [2.0, 0.3, 1e-3]  # good, middling, and worse than the noise of the first level; the fourth is not measured
DIAGONAL = Dense((4,), torch.diag_embed(torch.tensor(S)) @ torch.eye(3, 4))


def by_hand(sampler, like, draws):
    """The paper's recursion, one coordinate at a time, in c = x / alpha."""
    eta, eta_b = sampler.eta, sampler.eta_b
    path, draws = sampler.path(LINEAR), iter(draws)
    noise = [like.sigma / s for s in S] + [math.inf]
    y = [like.y[:, i] / S[i] for i in range(3)] + [torch.zeros(len(like.y))]
    top, z = path[0].sigma / path[0].alpha, next(draws)
    c = torch.empty_like(z)
    for i in range(4):
        if noise[i] < top:
            c[:, i] = y[i] + math.sqrt(top**2 - noise[i] ** 2) * z[:, i]
        else:
            c[:, i] = z[:, i] / path[0].alpha  # the sampler's noise has alpha^2 + sigma^2 = 1
    for t, s in pairwise(path):
        c0, z = PRIOR.denoise(t.alpha * c, t).x0, next(draws)
        before, sigma = t.sigma / t.alpha, s.sigma / s.alpha
        for i in range(4):
            if math.isinf(noise[i]):
                mean, std = c0[:, i] + math.sqrt(1 - eta**2) * sigma * (c[:, i] - c0[:, i]) / before, eta * sigma
            elif sigma < noise[i]:
                mean, std = c0[:, i] + math.sqrt(1 - eta**2) * sigma * (y[i] - c0[:, i]) / noise[i], eta * sigma
            else:
                mean = (1 - eta_b) * c0[:, i] + eta_b * y[i]
                std = math.sqrt(sigma**2 - (eta_b * noise[i]) ** 2)
            c[:, i] = mean + std * z[:, i]
    return c


@pytest.mark.parametrize("settings", [{}, {"eta": 0.3, "eta_b": 0.6, "steps": 7}])
@pytest.mark.parametrize("sigma_y", [0.4, 0.05, 0.0])
def test_the_chain_is_the_papers_coordinate_by_coordinate(settings, sigma_y):
    sampler, like = DDRM(**settings), Gaussian(normal(3, 3, seed=3), DIAGONAL, sigma_y)
    draws = [normal(3, 4, seed=k) for k in range(sampler.steps + 1)]
    x = sample(PRIOR, like, sampler, rng=lambda rows: Tape(draws), progress=False)[:, 0]
    torch.testing.assert_close(x, by_hand(sampler, like, draws), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)
def test_without_noise_the_sample_has_the_measurement(operator):
    prior = image_mixture()
    like = Gaussian.simulate(prior.draw(2), operator, 0.0)
    x = sample(prior, like, DDRM(), progress=False)[:, 0]
    torch.testing.assert_close(like.Vt(x), like.spectrum()[0], atol=1e-4, rtol=1e-4)


def test_without_data_it_starts_from_noise():
    noise = normal(3, 4, seed=7)
    t = LINEAR.level(951)
    assert torch.equal(DDRM().init(t, PRIOR, Flat(3, (4,)), Tape([noise]), 1).x, noise)


def test_the_papers_defaults():
    sampler = DDRM()
    assert (sampler.steps, sampler.eta, sampler.eta_b) == (20, 0.85, 1.0)
    assert [t.t - 1 for t in sampler.path(LINEAR)[:-1]] == list(range(950, -1, -50))
    with pytest.raises(ValueError, match="eta_b is 2"):
        DDRM(eta_b=2)

import math

import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DDIM, PiGDM
from posteriori.schedule import CLEAN, Level
from tests.helpers import LINEAR, covariance, normal

OPERATOR = Dense((4,), normal(2, 4, seed=2))
LIKE = Gaussian(normal(1, 2, seed=3), OPERATOR, 0.3)
MEAN = normal(4, seed=1)
X_T, NOISE = normal(3, 4, seed=4), normal(3, 4, seed=5)
T, S = LINEAR.level(400), LINEAR.level(350)


@pytest.mark.parametrize("c", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_the_true_variance_the_chain_is_that_of_the_exact_posterior(c, eta):
    # p(x_0 | x_t) of N(m, c I) is N(x0, r_t^2 I) exactly: a reverse chain of E[x_0 | x_t, y], draw for draw
    prior = GaussianMixture(MEAN[None], c * torch.eye(4)[None])
    sampler = PiGDM(steps=50, eta=eta, weight="score", data_var=c)
    found = sample(prior, LIKE, sampler, n=3, keys=[7], progress=False)
    exact = sample(prior.posterior(LIKE), Flat(1, (4,)), DDIM(steps=50, eta=eta), n=3, keys=[7], progress=False)
    torch.testing.assert_close(found, exact, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("s", [S, CLEAN])
@pytest.mark.parametrize("sigma_y", [0.0, 0.3])
@pytest.mark.parametrize("weight", ["adaptive", "score"])
def test_a_step_is_the_papers(s, sigma_y, weight):
    C = covariance(4)
    prior, like = GaussianMixture(MEAN[None], C[None]), Gaussian(normal(3, 2, seed=3), OPERATOR, sigma_y)
    x = PiGDM(weight=weight).step(State(X_T, T), s, prior, like, Tape([NOISE])).x
    alone = DDIM().step(State(X_T, T), s, prior, like, Tape([NOISE])).x
    J = T.alpha * C @ (T.alpha**2 * C + T.sigma**2 * torch.eye(4)).inverse()
    A, bar = OPERATOR.matrix.double(), (T.sigma / T.alpha) ** 2
    r2 = bar / (1 + bar)  # unit-variance data, which these are not
    residual = like.y.double() - prior.denoise(X_T, T).x0.double() @ A.T
    g = torch.linalg.solve(r2 * A @ A.T + sigma_y**2 * torch.eye(2), residual.T).T @ A @ J
    moved = s.alpha * T.alpha * r2 * g
    if weight == "score":
        left = math.sqrt(s.sigma**2 - (s.sigma * math.sqrt(1 - (T.alpha * s.sigma / (s.alpha * T.sigma)) ** 2)) ** 2)
        moved = (s.alpha - left * T.alpha / T.sigma) * T.sigma**2 / T.alpha * g
    torch.testing.assert_close(x - alone, moved.float(), atol=1e-5, rtol=1e-4)


def test_variance_exploding_levels_too():
    prior = GaussianMixture(MEAN[None], 0.5 * torch.eye(4)[None])
    t, s = Level(0, 1.0, 3.0), Level(0, 1.0, 2.0)
    found = PiGDM(weight="score", data_var=0.5).step(State(X_T, t), s, prior, LIKE.expand(3), Tape([NOISE])).x
    exact = DDIM().step(State(X_T, t), s, prior.posterior(LIKE), Flat(3, (4,)), Tape([NOISE])).x
    torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-5)


def test_a_variance_is_above_zero():
    with pytest.raises(ValueError, match="data_var is 0"):
        PiGDM(data_var=0.0)

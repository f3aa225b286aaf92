import pytest
import torch

from posteriori.gradients import Adam
from posteriori.likelihoods import Flat, Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import REDDiff
from tests.helpers import LINEAR, covariance, normal

MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
OPERATOR = Dense((4,), normal(2, 4, seed=2))
LIKE = Gaussian(normal(3, 2, seed=3), OPERATOR, 0.2)


def test_the_chain_is_the_published_loss_under_adam():
    draws = [normal(3, 4, seed=k) for k in range(30)]
    found = sample(PRIOR, LIKE, REDDiff(steps=30), rng=lambda rows: Tape(draws), progress=False)[:, 0]
    mu = LIKE.initial_estimate().clone().requires_grad_()
    adam = torch.optim.Adam([mu], lr=0.1, betas=(0.9, 0.99))
    for t, eps in zip(LINEAR.path(30)[:-1], draws, strict=True):
        x_t = (t.alpha * mu + t.sigma * eps).detach()
        eps0 = (x_t - t.alpha * PRIOR.denoise(x_t, t).x0) / t.sigma
        data = (LIKE.y - OPERATOR(mu)).square().mean() / 2
        loss = data + 0.25 * t.sigma / t.alpha * ((eps0 - eps) * mu).mean()
        adam.zero_grad()
        (3 * loss).backward()  # the means over the batch are its only coupling, and a factor
        adam.step()
    torch.testing.assert_close(found, mu.detach(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lambda_", [0.25, 2.0])
@pytest.mark.parametrize("t", [100, 400])
def test_it_settles_where_the_mean_gradient_vanishes(lambda_, t):
    # for N(m, C) the mean of eps0 - eps is sigma alpha (alpha^2 C + sigma^2)^-1 (mu - m), what eps = 0 gives
    level = LINEAR.level(t)
    sampler = REDDiff(lambda_=lambda_, learning_rate=0.02)
    state = sampler.init(level, PRIOR, LIKE, Tape([]), 1)
    for k in range(1500):
        slower = REDDiff(lambda_=lambda_, learning_rate=0.02 * 0.996**k)
        state = slower.step(state, level, PRIOR, LIKE, Tape([torch.zeros(3, 4)]))
    A, eye = OPERATOR.matrix.double(), torch.eye(4, dtype=torch.float64)
    prior = lambda_ * level.sigma**2 * (level.alpha**2 * C + level.sigma**2 * eye).inverse() / 4  # d = 4, m = 2
    right = LIKE.y.double() @ A / 2 + MEAN.double() @ prior
    expected = torch.linalg.solve(A.T @ A / 2 + prior, right.T).T
    torch.testing.assert_close(state.x.double(), expected, atol=2e-3, rtol=2e-3)


def test_it_starts_at_the_guess():
    state = REDDiff().init(LINEAR.level(1000), PRIOR, LIKE, Tape([]), 1)
    torch.testing.assert_close(state.x, OPERATOR.pinv(LIKE.y))


def test_without_data_the_prior_alone_moves_mu():
    level = LINEAR.level(300)
    mu = normal(3, 4, seed=6)
    state = State(mu, level, carry=Adam.at(mu, betas=(0.9, 0.99)))
    moved = REDDiff(learning_rate=1e-3).step(state, level, PRIOR, Flat(3, (4,)), Tape([torch.zeros(3, 4)])).x - mu
    assert ((moved * ((mu - MEAN) @ (level.alpha**2 * C + level.sigma**2 * torch.eye(4)).inverse().float())) <= 0).all()


@pytest.mark.parametrize("bad", [{"lambda_": -0.1}, {"learning_rate": 0.0}])
def test_what_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match=f"^{next(iter(bad))} is"):
        REDDiff(**bad)

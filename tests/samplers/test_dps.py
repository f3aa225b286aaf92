"""DPS and ScoreALD for a Gaussian prior and a linear measurement, where the gradient has a closed form."""

import math

import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DDIM, DPS, ScoreALD
from tests.helpers import LINEAR, covariance, normal

MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
OPERATOR = Dense((4,), normal(2, 4, seed=2))
LIKE = Gaussian(normal(3, 2, seed=3), OPERATOR, 0.1)
T, S = LINEAR.level(600), LINEAR.level(550)
X_T, NOISE = normal(3, 4, seed=4), normal(3, 4, seed=5)


def step(sampler, like=LIKE, t=T, s=S):
    return sampler.step(State(X_T, t), s, PRIOR, like, Tape([NOISE]))


def subtracted(sampler, t=T, s=S):
    """What the sampler takes off the reverse step of the prior alone."""
    return step(DDIM(), t=t, s=s).x - step(sampler, t=t, s=s).x


def gradient(t=T):
    """grad_{x_t} |y - A x0hat(x_t)| with x0hat affine in x_t, (B, 4), and the residual's norm (B,)."""
    jacobian = t.alpha * C @ (t.alpha**2 * C + t.sigma**2 * torch.eye(4)).inverse()
    x0 = MEAN.double() + (X_T.double() - t.alpha * MEAN.double()) @ jacobian.T
    A = OPERATOR.matrix.double()
    r = LIKE.y.double() - x0 @ A.T
    norm = r.norm(dim=1, keepdim=True)
    return (-(r / norm) @ A @ jacobian).float(), norm[:, 0].float()


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_normalised_steps_have_the_length_scale(scale):
    g, _ = gradient()
    torch.testing.assert_close(subtracted(DPS(scale=scale)).norm(dim=1), torch.full((3,), scale), atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(subtracted(DPS(scale=scale)), scale * g / g.norm(dim=1, keepdim=True))


def test_unnormalised_is_chungs():
    # their eq. 16 with zeta = 0.3 / |r|: zeta grad |r|^2 is 2 * 0.3 grad |r|; their code takes grad |r| alone
    g, _ = gradient()
    torch.testing.assert_close(subtracted(DPS(scale=0.3, gradient="norm")), 0.3 * g)


def test_the_squared_norms_gradient_has_the_residual_in_it():
    # the likelihood's own: grad log N(y; A x0hat, 0.1^2 I) = -grad |r|^2 / (2 0.1^2)
    g, norm = gradient()
    torch.testing.assert_close(subtracted(DPS(scale=0.3, gradient="square")), 0.3 * 2 * norm[:, None] * g)
    with torch.enable_grad():
        x_t = X_T.clone().requires_grad_()
        (score,) = torch.autograd.grad(LIKE.log_prob(PRIOR.denoise(x_t, T).x0).sum(), x_t)
    torch.testing.assert_close(subtracted(DPS(scale=0.3, gradient="square")), -0.3 * 2 * 0.1**2 * score)


@pytest.mark.parametrize("sampler", [DPS(), ScoreALD()], ids=lambda sampler: sampler.name)
def test_stats(sampler):
    g, norm = gradient()
    state = step(sampler)
    torch.testing.assert_close(state.stats["residual"], norm)
    torch.testing.assert_close(state.stats["gradient"], g.norm(dim=1))
    assert state.level == S
    assert not state.x.requires_grad
    torch.testing.assert_close(state.x0, PRIOR.denoise(X_T, T).x0)


@pytest.mark.parametrize("t", [1000, 700, 250, 1])
def test_scoreald_anneals_its_step(t):
    t = LINEAR.level(t)
    s = LINEAR.level(t.t - 1)
    g, _ = gradient(t)
    step_length = 7.0 * t.t / 1000 + 11.0 * (1 - t.t / 1000)
    torch.testing.assert_close(
        subtracted(ScoreALD(lambda_T=7.0, lambda_0=11.0), t, s), step_length * g, atol=1e-5, rtol=1e-4
    )


def test_without_a_gradient_nothing_moves():
    flat = Flat(3, (4,))
    for sampler in (DPS(), DPS(gradient="norm"), DPS(gradient="square"), ScoreALD()):
        assert torch.equal(step(sampler, flat).x, step(DDIM(), flat).x)


def test_the_gradient_goes_through_the_clamp():
    # everything is clamped to one point: x0 does not depend on x_t, so nothing is subtracted
    clamped = GaussianMixture(MEAN[None], C[None])
    clamped.bounds = (2.9, 3.0)
    assert PRIOR.denoise(X_T, T).x0.max() < 2.9
    sampler = DPS(gradient="norm")
    state = sampler.step(State(X_T, T), S, clamped, LIKE, Tape([NOISE]))
    alone = DDIM().step(State(X_T, T), S, clamped, LIKE, Tape([NOISE]))
    assert torch.equal(state.x, alone.x)
    assert state.stats["gradient"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", [-1.0, math.nan, math.inf])
def test_a_scale_that_climbs_or_explodes_is_refused(scale):
    with pytest.raises(ValueError, match="scale is"):
        DPS(scale=scale)

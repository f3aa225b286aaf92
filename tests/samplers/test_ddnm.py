import math

import pytest
import torch

from posteriori.kernels import small_std
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DDIM, DDNM
from posteriori.schedule import CLEAN
from tests.helpers import LINEAR, covariance, image_mixture, normal, small_operators

PRIOR = GaussianMixture(normal(1, 4, seed=1), covariance(4)[None])
# singular values that trust the measurement, that do not, and none
S = torch.tensor([1.0, 0.2, 0.01])
DIAGONAL = Dense((4,), torch.diag_embed(S)[:, :3] @ torch.eye(3, 4))
X_T, NOISE = normal(3, 4, seed=4), normal(3, 4, seed=5)


def step(sampler, like, t, s):
    return sampler.step(State(X_T, t), s, PRIOR, like, Tape([NOISE])).x


@pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)
def test_without_noise_the_sample_has_the_measurement(operator):
    prior = image_mixture()
    like = Gaussian.simulate(prior.draw(2), operator, 0.0)
    x = sample(prior, like, DDNM(steps=20), progress=False)[:, 0]
    torch.testing.assert_close(like.Vt(x), like.spectrum()[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sigma_y", [0.0, 0.02, 0.5])
@pytest.mark.parametrize(("t", "s"), [(600, 550), (60, 50), (10, 1)])
@pytest.mark.parametrize("eta", [0.85, 1.0])
def test_a_step_is_the_papers_coordinate_by_coordinate(sigma_y, t, s, eta):
    like, t, s = Gaussian(normal(3, 3, seed=3), DIAGONAL, sigma_y), LINEAR.level(t), LINEAR.level(s)
    x = step(DDNM(eta=eta), like, t, s)
    x0, std = PRIOR.denoise(X_T, t).x0, eta * small_std(t, s)
    kappa = math.sqrt(s.sigma**2 - std**2) / t.sigma
    a = s.alpha - kappa * t.alpha
    for i in range(4):
        x0hat, gamma = x0[:, i], std**2
        if i < 3:
            noise = a * sigma_y / S[i].item()
            trust = 1 if std >= noise else std / noise
            x0hat = x0[:, i] + trust * (like.y[:, i] / S[i] - x0[:, i])
            gamma = std**2 - (trust * noise) ** 2
        expected = kappa * X_T[:, i] + a * x0hat + math.sqrt(max(gamma, 0)) * NOISE[:, i]
        torch.testing.assert_close(x[:, i], expected, atol=2e-5, rtol=1e-5)


def test_ddpms_coefficients():
    # eq. 19's a_t and sigma_t at eta = 1: sqrt(alpha_bar_{t-1}) beta_t / (1 - alpha_bar_t), and beta-tilde
    t, s = LINEAR.level(300), LINEAR.level(299)
    bar, beta = LINEAR.alpha_bar, LINEAR.betas[299]
    variance = (1 - bar[299]) / (1 - bar[300]) * beta
    assert small_std(t, s) ** 2 == pytest.approx(variance)
    a = math.sqrt(bar[299]) * beta / (1 - bar[300])
    sigma_y = 1.5 * math.sqrt(variance) / a  # the first coordinate's measurement is trusted by two thirds
    like = Gaussian(normal(3, 3, seed=3), DIAGONAL, sigma_y)
    moved = step(DDNM(eta=1.0), like, t, s) - step(DDIM(variance="small"), like, t, s)
    x0 = PRIOR.denoise(X_T, t).x0
    expected = a * (like.y - x0[:, :3])[:, 0] / 1.5 - math.sqrt(variance) * NOISE[:, 0]
    torch.testing.assert_close(moved[:, 0], expected, atol=1e-5, rtol=1e-4)


def test_a_noisy_measurement_does_not_touch_the_last_estimate():
    like, t = Gaussian(normal(3, 3, seed=3), DIAGONAL, 0.1), LINEAR.level(1)
    torch.testing.assert_close(step(DDNM(), like, t, CLEAN), PRIOR.denoise(X_T, t).x0)


def test_the_papers_defaults():
    assert (DDNM().steps, DDNM().eta) == (100, 0.85)
    assert [t.t - 1 for t in DDNM().path(LINEAR)[:3]] == [990, 980, 970]
    with pytest.raises(ValueError, match="eta is 2"):
        DDNM(eta=2)

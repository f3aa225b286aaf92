from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import truncnorm

from posteriori.errors import PosterioriError
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import BitDepth, Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Rng
from posteriori.samplers import DPIR
from tests.helpers import covariance, normal

MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
OPERATOR = Dense((4,), normal(2, 4, seed=2))


@pytest.mark.parametrize("sigma_y", [0.02, 0.3])
def test_the_chain_is_half_quadratic_splitting(sigma_y):
    like = Gaussian(normal(3, 2, seed=3), OPERATOR, sigma_y)
    found = sample(PRIOR, like, DPIR(steps=8, sigma_min=0.05), progress=False)[:, 0]
    A, y, m, cov, eye = OPERATOR.matrix.double().numpy(), like.y.double().numpy(), MEAN.numpy(), C.numpy(), np.eye(4)
    x = like.initial_estimate().double().numpy()
    for sigma_k in np.maximum(np.geomspace(0.384, 0.05, 8), sigma_y):
        rho = 0.23 * sigma_y**2 / sigma_k**2
        z = np.linalg.solve(A.T @ A + rho * eye, A.T @ y.T + rho * x.T).T
        x = m + (z - m) @ np.linalg.solve(cov + sigma_k**2 * eye, cov)  # E[x_0 | x_0 + sigma_k n = z] of N(m, cov)
    np.testing.assert_allclose(found.numpy(), x, atol=2e-4)


def test_without_noise_the_estimate_explains_the_measurement():
    like = Gaussian(OPERATOR(PRIOR.draw(3).float()), OPERATOR, 0.0)
    x = sample(PRIOR, like, DPIR(steps=30, sigma_min=1e-3), progress=False)[:, 0]
    assert like.misfit(x).abs().max() < 1e-2


def test_where_the_operator_rounds_the_data_step_is_the_mean_within_the_cells():
    operator, sigmas = BitDepth((4,), bits=2), np.geomspace(0.4, 0.1, 3)
    truth = PRIOR.draw(3).float().clamp(-0.9, 0.9)
    like = Gaussian(operator(truth), operator, 0.0)
    found = sample(PRIOR, like, DPIR(steps=3, lambda_=0.5, sigma_max=0.4, sigma_min=0.1), progress=False)[:, 0]
    y, m, cov, eye = like.y.double().numpy(), MEAN.numpy(), C.numpy(), np.eye(4)
    low, high = np.where(y < -0.9, -3.0, y - 1 / 3), np.where(y > 0.9, 3.0, y + 1 / 3)  # the outer cells go on
    x = y
    for sigma_k in sigmas:
        std = sigma_k / 0.5**0.5
        z = truncnorm.mean((low - x) / std, (high - x) / std, x, std)
        x = m + (z - m) @ np.linalg.solve(cov + sigma_k**2 * eye, cov)
    np.testing.assert_allclose(found.numpy(), x, atol=2e-4)


def test_levels_fall():
    with pytest.raises(PosterioriError, match=r"sigma_min 0\.5 is above sigma_max 0\.384"):
        DPIR(sigma_min=0.5)
    assert torch.tensor([level.sigma for level in DPIR(steps=5).path(PRIOR.schedule)]).diff().max() < 0


def test_whitened_errors_are_denoised_in_pairs():
    prior = GaussianMixture(torch.stack([MEAN, -MEAN]), torch.stack([C, C]))
    operator = BitDepth((4,), bits=2)
    like = Gaussian(operator(prior.draw(3).float().clamp(-0.9, 0.9)), operator, 0.0)
    sampler = DPIR(steps=2, lambda_=0.5, sigma_max=0.4, sigma_min=0.1, whiten=True)
    found = sample(prior, like, sampler, seed=5, keys=range(3), progress=False)[:, 0]
    rng, x = Rng(5, range(3), 1), like.y
    for sigma_k in (0.4, 0.1):
        std = sigma_k / 0.5**0.5
        z, n = operator.conditional_mean(x, like.y, std), rng.normal((4,))
        low, high = operator._cells(like.y)
        v = torch.from_numpy(truncnorm.var((low - x) / std, (high - x) / std, x, std)).float()
        e = (sigma_k**2 - v).clamp(min=0).sqrt() * n
        x = sum(prior.denoise(z + own, prior.schedule.at_noise(sigma_k)).x0 for own in (e, -e)) / 2
    torch.testing.assert_close(found, x.float(), atol=1e-4, rtol=1e-4)
    plain = sample(prior, like, replace(sampler, whiten=False), progress=False)[:, 0]
    assert (plain - found).abs().max() > 1e-3

import math

import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DiffPIR
from posteriori.schedule import CLEAN
from tests.helpers import LINEAR, covariance, normal

PRIOR = GaussianMixture(normal(1, 4, seed=1), covariance(4)[None])
OPERATOR = Dense((4,), normal(2, 4, seed=2))
LIKE = Gaussian(normal(3, 2, seed=3), OPERATOR, 0.2)
X_T, NOISE = normal(3, 4, seed=4), normal(3, 4, seed=5)
T, S = LINEAR.level(300), LINEAR.level(250)


def step(sampler, s=S, like=LIKE, t=T):
    return sampler.step(State(X_T, t), s, PRIOR, like, Tape([NOISE])).x


def data_step(rho, t=T):
    """argmin_x |y - A x|^2 + rho |x - x0|^2 by its normal equations."""
    A, x0 = OPERATOR.matrix.double(), PRIOR.denoise(X_T, t).x0.double()
    right = LIKE.y.double() @ A + rho * x0
    return torch.linalg.solve(A.T @ A + rho * torch.eye(4), right.T).T.float()


@pytest.mark.parametrize("zeta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("lambda_", [0.25, 1.0, 7.0])
def test_a_step_is_the_papers(zeta, lambda_):
    x0hat = data_step(lambda_ * 0.2**2 * T.alpha**2 / T.sigma**2)
    eps = (X_T - T.alpha * x0hat) / T.sigma
    expected = S.alpha * x0hat + S.sigma * (math.sqrt(1 - zeta) * eps + math.sqrt(zeta) * NOISE)
    torch.testing.assert_close(step(DiffPIR(zeta=zeta, lambda_=lambda_)), expected, atol=1e-5, rtol=1e-5)


def test_lambda_1_is_bayes():
    # E[x | y] of x ~ N(x0, sigma_bar^2 I), y ~ N(A x, sigma_y^2 I)
    A, variance = OPERATOR.matrix.double(), (T.sigma / T.alpha) ** 2
    x0 = PRIOR.denoise(X_T, T).x0.double()
    gain = variance * A.T @ (variance * A @ A.T + 0.2**2 * torch.eye(2)).inverse()
    expected = x0 + (LIKE.y.double() - x0 @ A.T) @ gain.T
    torch.testing.assert_close(step(DiffPIR(lambda_=1.0), CLEAN), expected.float(), atol=1e-5, rtol=1e-5)


def test_the_default_is_the_codes_rho():
    # the code's lambda is 1, its sigma_y that of images on [0, 1], its sigma_bar that of images on [-1, 1]
    published = 1.0 * (0.2 / 2) ** 2 / (T.sigma / T.alpha) ** 2
    torch.testing.assert_close(step(DiffPIR(), CLEAN), data_step(published), atol=1e-5, rtol=1e-5)


def test_the_last_estimate_has_its_data_step():
    t = LINEAR.level(1)
    found = step(DiffPIR(), CLEAN, t=t)
    torch.testing.assert_close(found, data_step(0.25 * (0.2 * t.alpha / t.sigma) ** 2, t), atol=1e-5, rtol=1e-5)
    assert (found - PRIOR.denoise(X_T, t).x0).abs().max() > 1e-4


def test_the_codes_settings_for_deblurring():
    sampler = DiffPIR()
    assert (sampler.steps, sampler.lambda_, sampler.zeta) == (100, 0.25, 0.1)


def test_the_papers_path():
    # quadratic: half of the 100 levels lie below t = 300, the code's seq to the integer below
    times = [t.t - 1 for t in DiffPIR().path(LINEAR)[:-1]]
    assert (times[0], times[-1]) == (999, 0)
    seq = [int(1000 * math.sqrt(i / 99)) for i in range(100)]
    seq[-1] -= 1
    assert all(abs(t - (999 - k)) <= 2 for t, k in zip(times, seq, strict=True))


def test_without_data_there_is_no_data_step():
    flat = step(DiffPIR(), CLEAN, Flat(3, (4,)))
    torch.testing.assert_close(flat, PRIOR.denoise(X_T, T).x0)


@pytest.mark.parametrize("bad", [{"lambda_": -1.0}, {"lambda_": math.inf}, {"zeta": 1.5}])
def test_what_cannot_be_is_refused(bad):
    with pytest.raises(ValueError, match=r"(lambda_|zeta) is"):
        DiffPIR(**bad)

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.operators import Dense, Mask
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import MALA
from posteriori.schedule import CLEAN, Level
from tests.helpers import LINEAR, Bulk, normal, standard_errors_off

MEAN = torch.tensor([0.3, -0.2, 0.5, 0.1])
KEEP = torch.tensor([True, True, False, False])
Y = torch.tensor([[1.0, -0.5, 0.0, 0.0]])
ROWS = 20_000


def level(sigma):
    return Level(LINEAR.time(sigma), 1.0, sigma)


def isotropic(c):
    """N(m, c I), for which J = c / (c + sigma^2) I, so that r^2 and the line integral are exact."""
    return GaussianMixture(MEAN[None], c * torch.eye(4)[None])


def law(c, sigma, sigma_y):
    """Mean and covariance of p_t(x) p(y | x_t = x), a Gaussian."""
    gain = c / (c + sigma**2)
    precision, mean = torch.full((4,), 1 / (c + sigma**2), dtype=torch.float64), MEAN.double().clone()
    variance = sigma_y**2 + sigma**2 * gain  # of y given x_t, in the coordinates that are kept
    precision[KEEP] += gain**2 / variance
    mean[KEEP] += gain / variance * (Y[0] - MEAN).double()[KEEP] / precision[KEEP]
    return mean, (1 / precision).diag()


@pytest.mark.parametrize(
    ("c", "sigma", "sigma_y", "step_size"), [(0.25, 1.0, 0.3, 1.0), (1.0, 0.3, 0.05, 1.0), (1.0, 0.3, 0.4, 0.6)]
)
def test_a_levels_law_stays_as_it_is(c, sigma, sigma_y, step_size):
    mean, covariance = law(c, sigma, sigma_y)
    x = (mean + normal(ROWS, 4, seed=1).double() @ covariance.sqrt()).float()
    like = Gaussian(Y, Mask((4,), KEEP), sigma_y).expand(ROWS)
    sampler = MALA(inner=10, step_size=step_size)
    with torch.no_grad():
        state = sampler.step(State(x, level(sigma)), level(sigma / 2), isotropic(c), like, Bulk(ROWS, seed=3))
    assert standard_errors_off(state.x, mean, covariance) < 4
    assert 0.5 < state.stats["accepted"].mean() < 0.98  # or nothing would be said of what is rejected


def test_it_ends_in_the_mean():
    x, t = normal(3, 4, seed=1), level(0.3)
    like = Gaussian(Y, Mask((4,), KEEP), 0.4).expand(3)
    state = MALA(inner=1).step(State(x, t), CLEAN, isotropic(1.0), like, Bulk(3))
    assert torch.equal(state.x, state.x0)
    going_on = MALA(inner=1).step(State(x, t), level(0.2), isotropic(1.0), like, Bulk(3))
    torch.testing.assert_close(state.x, isotropic(1.0).denoise(going_on.x, t).x0)
    assert (going_on.x - going_on.x0).abs().max() > 0.01


def test_the_variance_of_what_y_tells_is_along_a(monkeypatch):
    s, seen = torch.tensor([2.0, 0.5]), []
    A, e = Dense((4,), s[:, None] * torch.linalg.qr(normal(4, 2, seed=7)).Q.T), normal(1, 2, seed=8)
    target = MALA.target
    monkeypatch.setattr(MALA, "target", lambda self, x, w, *given: seen.append(w) or target(self, x, w, *given))
    draws = [e, normal(1, 4), torch.tensor([0.5])]
    MALA(inner=1).step(
        State(normal(1, 4), level(0.3)), CLEAN, isotropic(1.0), Gaussian(normal(1, 2), A, 0.1), Tape(draws)
    )
    w = A.V(A.s * e)
    assert all(torch.cosine_similarity(found, w).item() == pytest.approx(1) for found in seen)

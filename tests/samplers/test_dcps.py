"""What a recorded chain does not say of DCPS; the chain is in ``test_official``."""

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import DCPS
from posteriori.schedule import CLEAN
from tests.helpers import LINEAR, covariance, normal

MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
LIKE = Gaussian(normal(1, 2, seed=3), Dense((4,), normal(2, 4, seed=2) / 2), 0.1)


@pytest.mark.parametrize(("steps", "blocks"), [(12, 3), (7, 3), (30, 4)])
def test_blocks_end_at_levels_of_the_path_the_last_at_the_clean_one(steps, blocks):
    sampler, ends = DCPS(steps=steps, blocks=blocks, langevin_steps=1), []
    sample(PRIOR, LIKE, sampler, callbacks=[lambda state, *_: ends.append(state.carry)], progress=False)
    path, ends = sampler.path(LINEAR), ends[:-1]
    assert set(ends) <= set(path)
    assert len(set(ends)) == blocks
    assert ends[-1] == CLEAN
    for s, k in zip(path[1:], ends, strict=False):
        assert s.t >= k.t


def test_the_gradient_towards_y_is_a_gaussians():
    """x0hat(x) is linear there: log N(y; A m(x) / alpha_k, sigma_y^2 / alpha_k^2), m the bridge's mean."""
    t, k, x = LINEAR.level(500), LINEAR.level(300), normal(3, 4, seed=4, dtype=torch.float64)
    _, g = DCPS()._towards_y(x, t, k, 0.0, PRIOR, LIKE.expand(3))
    a = t.alpha / k.alpha
    u, v = t.sigma**2 - (a * k.sigma) ** 2, k.sigma**2
    D = C.double()
    gain = t.alpha * D @ (t.alpha**2 * D + t.sigma**2 * torch.eye(4)).inverse()
    M = (a * v * torch.eye(4) + k.alpha * u * gain) / t.sigma**2
    m = x @ M.T + k.alpha * u / t.sigma**2 * (MEAN.double() - t.alpha * gain @ MEAN.double())
    A, y = LIKE.operator.matrix.double(), LIKE.y.double()
    torch.testing.assert_close(g, (k.alpha * y - m @ A.T) @ A @ M / LIKE.sigma**2)

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.samplers.pnpdm import _towards_y
from tests.helpers import dense, normal, small_operators

SHAPE = (1, 8, 8)


@pytest.mark.parametrize("operator", small_operators(SHAPE), ids=lambda operator: operator.name)
@pytest.mark.parametrize(("rho", "sigma_y"), [(0.3, 0.05), (0.3, 0.3), (2.0, 0.3)])
def test_the_likelihood_step_has_the_law_of_z_given_x_and_y(operator, rho, sigma_y):
    # N(z; x, rho^2 I) p(y | z) is normal with the precision I / rho^2 + A^T A / sigma_y^2
    A, x = dense(operator), normal(1, *SHAPE)
    like = Gaussian.simulate(normal(1, *SHAPE, seed=1), operator, sigma_y)
    covariance = torch.linalg.inv(torch.eye(64) / rho**2 + A.T @ A / sigma_y**2)
    y = operator.observed_entries(like.y)[0].double()
    mean = covariance @ (x.flatten().double() / rho**2 + A.T @ y / sigma_y**2)
    found = _towards_y(x, rho, like, torch.zeros_like(x))
    torch.testing.assert_close(found.flatten().double(), mean, atol=1e-4, rtol=1e-4)
    noise = torch.eye(64).unflatten(1, SHAPE)
    root = (_towards_y(x.expand_as(noise), rho, like.expand(64), noise) - found).flatten(1).double()
    torch.testing.assert_close(root.T @ root, covariance, atol=1e-5 * rho**2, rtol=1e-4)

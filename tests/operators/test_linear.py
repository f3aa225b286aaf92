"""The proximal map by conjugate gradients, beside the one that the singular value decomposition gives."""

import pytest
import torch

from posteriori.operators import Dense
from tests.helpers import IMAGE, WithoutSVD, normal, small_operators

each = pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)


@each
@pytest.mark.parametrize("rho", [0.01, 0.3, 10.0])
def test_prox_is_solved_to_the_tolerance(operator, rho):
    z, y = normal(3, *IMAGE), operator(normal(3, *IMAGE, seed=1))
    x = WithoutSVD(IMAGE, operator).prox(z, y, rho)
    slope = operator.adjoint(operator(x) - y) + rho * (x - z)
    at_z = operator.adjoint(operator(z) - y)
    assert (slope.flatten(1).norm(dim=1) < 1.5e-5 * at_z.flatten(1).norm(dim=1)).all()  # 1e-5, and rounding
    torch.testing.assert_close(x, operator.prox(z, y, rho), atol=1e-3, rtol=0)


def test_prox_without_rho_is_the_solution_nearest_to_z():
    matrix = torch.linalg.qr(normal(6, 6))[0][:4] * torch.tensor([[1.0], [0.7], [0.4], [0.2]])
    for operator in (Dense((6,), matrix), *(small_operators()[k] for k in (0, 1, 2, 4))):
        z, y = normal(3, *operator.shape, seed=2), operator(normal(3, *operator.shape, seed=1))
        found = WithoutSVD(operator.shape, operator).prox(z, y, 0.0)
        torch.testing.assert_close(found, operator.prox(z, y, 0.0), atol=1e-4, rtol=0)
        assert (found - z).abs().max() > 0.1

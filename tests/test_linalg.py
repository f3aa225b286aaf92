"""Solvers that know a system by its products, against direct ones."""

import torch

from posteriori.linalg import cg, gmres
from tests.helpers import normal


def test_each_row_stops_for_itself():
    A = torch.diag(torch.linspace(0.1, 3, 20))
    b = normal(3, 20) * torch.tensor([[1.0], [1e-6], [1e6]])
    b[0, 1:] = 0  # solved in one step, where the others take more
    counted = []

    def product(x):
        counted.append(len(x))
        return x @ A

    together = cg(product, b, 1e-5, 50)
    assert 10 < len(counted) < 50
    for k in range(3):
        counted.clear()
        torch.testing.assert_close(cg(product, b[k : k + 1], 1e-5, 50)[0], together[k], atol=0, rtol=1e-5)
        assert len(counted) == 1 or k > 0
    residual = (together @ A - b).norm(dim=1)
    assert (residual < 2e-5 * b.norm(dim=1)).all()
    assert torch.equal(cg(product, torch.zeros(2, 20), 1e-5, 50), torch.zeros(2, 20))


def test_it_gives_up_after_so_many_steps():
    A = torch.diag(torch.logspace(-6, 0, 100))
    calls = []
    cg(lambda x: (calls.append(0), x @ A)[1], normal(1, 100), 1e-5, 7)
    assert len(calls) == 7


def test_gmres_solves_each_row_and_never_makes_it_worse():
    # not symmetric, not definite, as a network's Jacobian
    M, b = normal(3, 5, 5, seed=6, dtype=torch.float64), normal(3, 5, seed=7, dtype=torch.float64)
    b[2] = 0
    product = lambda v: torch.einsum("bij,bj->bi", M, v)  # noqa: E731
    for iterations in (5, 8):
        torch.testing.assert_close(gmres(product, b, iterations), torch.linalg.solve(M, b), atol=1e-8, rtol=1e-6)
    left = [b, *(b - product(gmres(product, b, k)) for k in range(1, 6))]
    norms = torch.stack([r.norm(dim=1) for r in left])
    assert (norms[1:] <= norms[:-1] + 1e-9).all()
    assert norms[-1].max() < 1e-8


def test_what_is_near_the_inverse_saves_steps():
    A = torch.diag(torch.logspace(-3, 0, 100)) + 1e-4
    b, near = normal(2, 100), torch.diag(torch.logspace(3, 0, 100))
    calls = []

    def product(x):
        calls.append(0)
        return x @ A

    x = cg(product, b, 1e-5, 100, near=lambda r: r @ near)
    assert len(calls) < 20
    assert ((x @ A - b).norm(dim=1) < 2e-5 * b.norm(dim=1)).all()
    calls.clear()
    cg(product, b, 1e-5, 100)
    assert len(calls) > 40

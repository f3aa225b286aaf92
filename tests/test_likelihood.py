import math

import pytest
import torch

from posteriori.likelihood import Flat, Gaussian
from posteriori.operator import LinearOperator, Operator
from posteriori.operators import GaussianBlur, Identity
from posteriori.priors.mixture import GaussianMixture
from tests.helpers import IMAGE, dense, normal, small_operators

each = pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)


def bound(operator, n=3, sigma=0.2):
    return Gaussian(operator.measure(normal(n, *operator.shape), sigma), operator, sigma)


@each
@pytest.mark.parametrize("var", [0.0, 0.3])
def test_score_is_the_closed_form_gradient(operator, var):
    like, x, A = bound(operator), normal(3, *IMAGE, seed=1), dense(operator)
    r = operator.observed(like.y).double() - x.flatten(1).double() @ A.T
    S = 0.2**2 * torch.eye(len(A)) + var * A @ A.T
    expected = torch.linalg.solve(S, r.T).T @ A
    score = like.score(x, var)
    assert not score.requires_grad
    torch.testing.assert_close(score.flatten(1).double(), expected, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(like.residual(x).double(), r, atol=1e-5, rtol=1e-5)


@each
def test_widen_adds_variances(operator):
    like, x = bound(operator), normal(3, *IMAGE, seed=1)
    wider = Gaussian(like.y, operator, math.sqrt(0.2**2 + 0.5**2))
    torch.testing.assert_close(like.widen(0.5).log_prob(x), wider.log_prob(x))
    torch.testing.assert_close(like.with_sigma(wider.sigma).log_prob(x), wider.log_prob(x))
    assert like.sigma == 0.2


@each
def test_the_spectrum_is_the_measurement_with_a_diagonal_operator(operator):
    like, x, A = bound(operator), normal(3, *IMAGE, seed=1), dense(operator)
    values = torch.linalg.svdvals(A)
    # N(y; A x, sigma^2 I) and N(y_i; c_i, std_i^2) have one gradient, but for the singular values dropped
    exact = (operator.observed(like.y).double() - x.flatten(1).double() @ A.T) / 0.2**2 @ A
    for own, least, tolerance in ((like, 1e-6, 1e-4), (like.truncated(), operator.cutoff, 0.02)):
        y, std = own.spectrum()
        assert y.shape == (3, len(std)) == own.Vt(x).shape
        assert len(std) == (values > least).sum()
        c = normal(*y.shape)
        torch.testing.assert_close(own.Vt(own.V(c)), c, atol=1e-5, rtol=1e-5)
        score = own.V((y - own.Vt(x)) / std.square()).flatten(1)
        left = (exact - score.double()).norm(dim=1) / exact.norm(dim=1)
        assert left.max() < tolerance


@each
def test_without_noise_the_spectrum_is_that_of_the_pseudo_inverse(operator):
    like = bound(operator, sigma=0.0)
    y, std = like.spectrum()
    assert (std == 0).all()
    torch.testing.assert_close(like.V(y), operator.pinv(like.y), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sigma_y", [0.05, 0.01])
def test_a_blurs_small_singular_values_tell_what_they_can(sigma_y):
    # the trace of the posterior's covariance, for data N(0, 0.3 I): without those up to the cut-off 0.3 % and 4 % more
    like = bound(GaussianBlur((1, 8, 8), sigma=1.7), n=1, sigma=sigma_y)
    prior = GaussianMixture(torch.zeros(1, 1, 8, 8), 0.3 * torch.eye(64)[None])
    exact = prior.posterior(like).covariance().trace().item()

    def trace(like):
        std = like.spectrum()[1].double()
        V = like.V(torch.eye(len(std))).flatten(1).double()
        return torch.linalg.inv(torch.eye(64) / 0.3 + V.T / std.square() @ V).trace().item()

    assert trace(like) == pytest.approx(exact, rel=1e-6)
    assert trace(like.truncated()) > 1.003 * exact


@each
def test_rows(operator):
    like = bound(operator)
    assert len(like) == 3
    assert torch.equal(like.expand(2).y, like.y[[0, 0, 1, 1, 2, 2]])
    assert torch.equal(like.select(slice(1, 3)).y, like.y[1:])
    assert like.select(slice(1, 3)).keys() == like.keys()[1:]
    assert len(set(like.keys())) == 3
    assert like.guess().shape == (3, *IMAGE)
    x, z = normal(6, *IMAGE, seed=2), normal(3, *IMAGE, seed=3)
    torch.testing.assert_close(like.expand(2).residual(x)[3], like.select(slice(1, 2)).residual(x[3:4])[0])
    torch.testing.assert_close(like.prox(z, 0.4), operator.prox(z, like.y, 0.4))


def test_hidden_entries_do_not_count():
    box = small_operators()[1]
    x, y = normal(2, *IMAGE), normal(2, *IMAGE, seed=1)
    seen = Gaussian(y, box, 0.1)
    other = Gaussian(torch.where(box.keep, y, 99.0), box, 0.1)
    assert seen.residual(x).shape == (2, 3 * (64 - 9))
    assert torch.equal(seen.log_prob(x), other.log_prob(x))
    assert seen.keys() == other.keys()


def test_supports():
    like = bound(Identity(IMAGE))
    assert like.supports(Operator)
    assert like.supports(LinearOperator)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_measurements_are_finite(bad):
    y = normal(2, *IMAGE)
    y[1, 0, 3, 3] = bad
    with pytest.raises(ValueError, match="measurement holds NaN or infinity"):
        Gaussian(y, Identity(IMAGE), 0.1)


@each
def test_other_shapes_are_refused(operator):
    y = bound(operator).y
    for wrong in (y[..., :-1], y[0]):
        with pytest.raises(ValueError, match=r"y is \(.*gives \(N, "):
            Gaussian(wrong, operator, 0.1)
    for sigma in (-1.0, math.nan):
        with pytest.raises(ValueError, match="finite number from 0 up"):
            Gaussian(y, operator, sigma)


def test_flat_says_nothing():
    flat, x = Flat(3, IMAGE), normal(3, *IMAGE)
    assert torch.equal(flat.score(x), torch.zeros_like(x))
    assert torch.equal(flat.log_prob(x), torch.zeros(3))
    assert flat.residual(x).shape == (3, 0)
    assert torch.equal(flat.prox(x, 0.0), x)
    assert flat.widen(1.0) is flat.with_sigma(0.3) is flat.truncated() is flat
    y, std = flat.spectrum()
    assert (y.shape, std.shape, flat.Vt(x).shape) == ((3, 0), (0,), (3, 0))
    assert torch.equal(flat.V(y), torch.zeros_like(x))
    assert (len(flat), len(flat.expand(4))) == (3, 12)
    assert flat.select(slice(1, 3)).keys() == flat.keys()[1:]
    assert flat.guess().shape == (3, *IMAGE)
    with pytest.raises(ValueError, match="n is 0"):
        Flat(0, IMAGE)

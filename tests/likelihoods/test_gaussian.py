import copy
import math
import pickle

import pytest
import torch

from posteriori.likelihoods import Additive, Gaussian, GaussianNoise, Linear, Marginal, Spectral
from posteriori.operators import Dense, GaussianBlur, Identity
from posteriori.priors.mixture import GaussianMixture
from tests.helpers import IMAGE, Quantiser, WithoutSVD, dense, normal, small_operators

each = pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)


def bound(operator, n=3, sigma=0.2):
    return Gaussian.simulate(normal(n, *operator.shape), operator, sigma)


@each
@pytest.mark.parametrize("var", [0.0, 0.3])
def test_score_is_the_closed_form_gradient(operator, var):
    like, x, A = bound(operator), normal(3, *IMAGE, seed=1).requires_grad_(), dense(operator)
    r = operator.observed_entries(like.y).double() - x.detach().flatten(1).double() @ A.T
    S = 0.2**2 * torch.eye(len(A)) + var * A @ A.T
    expected = torch.linalg.solve(S, r.T).T @ A
    (score,) = torch.autograd.grad(like.log_prob(x, var).sum(), x)
    torch.testing.assert_close(score.flatten(1).double(), expected, atol=2e-3, rtol=1e-4)
    if not var:
        assert torch.equal(like.score(x), score)
        assert not like.score(x).requires_grad


@each
def test_the_residual_is_whitened_and_the_misfit_is_not(operator):
    like, x, A = bound(operator), normal(3, *IMAGE, seed=1), dense(operator)
    r = operator.observed_entries(like.y).double() - x.flatten(1).double() @ A.T
    torch.testing.assert_close(like.misfit(x).double(), r, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(like.residual(x).double(), r / 0.2, atol=5e-5, rtol=1e-5)


def test_without_noise_there_is_a_misfit_and_no_residual():
    like = bound(Identity(IMAGE), sigma=0.0)
    assert torch.equal(like.misfit(like.y), torch.zeros(3, 192))
    with pytest.raises(ValueError, match="without noise the residual is not defined; take the misfit"):
        like.residual(like.y)
    with pytest.raises(ValueError, match="no density at sigma = 0"):
        like.log_prob(like.y)


TALL = [Dense((4,), normal(7, 4)), Dense((3, 2, 2), normal(3, 12, seed=5)[[0, 1, 2, 0, 1]])]  # rank 4 of 7, 3 of 5


@pytest.mark.parametrize("operator", [*small_operators(), *TALL], ids=lambda operator: operator.name)
@pytest.mark.parametrize("var", [0.0, 0.3])
def test_log_prob(operator, var):
    like, x, A = bound(operator), normal(3, *operator.shape, seed=1), dense(operator)
    cov = 0.2**2 * torch.eye(len(A)) + var * A @ A.T
    exact = torch.distributions.MultivariateNormal(x.flatten(1).double() @ A.T, cov)
    expected = exact.log_prob(operator.observed_entries(like.y).double())
    torch.testing.assert_close(like.log_prob(x, var).double(), expected, atol=1e-2, rtol=2e-5)


@each
def test_simulate(operator):
    x = normal(3, *IMAGE)
    together = Gaussian.simulate(x, operator, 0.3, seed=1)
    assert together.sigma == 0.3
    for k in range(3):
        alone = Gaussian.simulate(x[k : k + 1], operator, 0.3, seed=1)
        torch.testing.assert_close(alone.y[0], together.y[k], atol=1e-6, rtol=1e-6)
    assert not torch.equal(Gaussian.simulate(x, operator, 0.3, seed=2).y, together.y)
    each_its_own = Gaussian.simulate(x, operator, 0.3, seed=[1, 2, 1]).y
    torch.testing.assert_close(each_its_own[::2], together.y[::2], atol=1e-6, rtol=1e-6)
    assert (each_its_own[1] - together.y[1]).abs().max() > 0.1
    torch.testing.assert_close(Gaussian.simulate(x, operator, 0.0).y, operator(x), atol=1e-6, rtol=1e-6)
    named = Gaussian.simulate(x, operator, 0.3, keys=[5, 6, 7]).y
    assert torch.equal(Gaussian.simulate(x.flip(0), operator, 0.3, keys=[7, 6, 5]).y.flip(0), named)
    assert torch.equal(operator.zero_filled(named), named)


@each
def test_the_residual_of_the_truth_has_unit_variance(operator):
    x = normal(200, *IMAGE)
    residual = Gaussian.simulate(x, operator, 0.3).residual(x).double()
    assert abs(residual.mean()) < 4 / residual.numel() ** 0.5
    assert abs(residual.var() - 1) < 4 * (2 / residual.numel()) ** 0.5


@each
def test_simulate_refuses_other_shapes_and_noise(operator):
    x = normal(3, *IMAGE)
    with pytest.raises(ValueError, match=r"this \w+ takes \(B, "):
        Gaussian.simulate(x[..., :-1], operator, 0.1)
    for sigma in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"sigma is {sigma}: give a finite number from 0 up"):
            Gaussian.simulate(x, operator, sigma)


def test_a_setting_is_gaussian_noise():
    operator, x = small_operators()[3], normal(2, *IMAGE)
    like = GaussianNoise(0.3).simulate(x, operator, seed=4)
    assert torch.equal(like.y, Gaussian.simulate(x, operator, 0.3, seed=4).y)
    assert GaussianNoise(0.3).likelihood(like.y, operator).sigma == 0.3


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
    exact = (operator.observed_entries(like.y).double() - x.flatten(1).double() @ A.T) / 0.2**2 @ A
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
    assert like.initial_estimate().shape == (3, *IMAGE)
    x, z = normal(6, *IMAGE, seed=2), normal(3, *IMAGE, seed=3)
    torch.testing.assert_close(like.expand(2).misfit(x)[3], like.select(slice(1, 2)).misfit(x[3:4])[0])
    torch.testing.assert_close(like.prox(z, 0.4), operator.prox(z, like.y, 0.4))


def test_hidden_entries_do_not_count():
    box = small_operators()[1]
    x, y = normal(2, *IMAGE), normal(2, *IMAGE, seed=1)
    seen = Gaussian(y, box, 0.1)
    other = Gaussian(torch.where(box.keep, y, 99.0), box, 0.1)
    assert seen.residual(x).shape == seen.misfit(x).shape == (2, 3 * (64 - 9))
    assert torch.equal(seen.log_prob(x), other.log_prob(x))
    assert seen.keys() == other.keys()


def test_the_operator_decides_what_a_likelihood_can_do():
    types = (Additive, Linear, Spectral, Marginal)
    for operator, able in ((Quantiser(IMAGE), 1), (WithoutSVD(IMAGE, Identity(IMAGE)), 2), (Identity(IMAGE), 4)):
        like = Gaussian(normal(2, *IMAGE), operator, 0.1)
        for own in (
            like,
            like.select(slice(1)),
            like.with_sigma(0.3),
            copy.copy(like),
            pickle.loads(pickle.dumps(like)),
        ):
            assert isinstance(own, Gaussian)
            assert [isinstance(own, kind) for kind in types] == [k < able for k in range(4)]
            assert torch.equal(own.y, like.y[: len(own)])


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

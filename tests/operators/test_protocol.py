"""What every operator keeps; the expected numbers come from its dense matrix."""

import pytest
import torch

import posteriori
from posteriori.operator import Operator
from posteriori.operators import OPERATORS, BoxMask, Dense, Downsample, GaussianBlur, Identity, Mask
from tests.helpers import dense, named, normal

SHAPE = (3, 16, 16)
DOUBLED = normal(3, 12, seed=5)[[0, 1, 2, 0, 1]]  # rank 3 out of 5 rows
#: those that these tests need with other settings than their own
SET = [
    Identity((5,)),
    BoxMask(SHAPE, size=6),
    BoxMask((3, 16, 12), size=4, top=0, left=7),
    Mask(SHAPE, normal(1, 16, 16) > 0),
    Mask(SHAPE, normal(*SHAPE) > 0.5),
    GaussianBlur(SHAPE, sigma=1.5, size=61),
    GaussianBlur((2, 16, 10), sigma=0.8, size=5),
    Downsample(SHAPE, 4),
    Downsample((3, 12, 8), 2),
    Dense((6,), normal(4, 6)),
    Dense((4,), normal(7, 4)),
    Dense((3, 2, 2), DOUBLED),
]
INSTANCES = [*SET, Identity(SHAPE), *(cls(SHAPE) for cls in OPERATORS if cls not in set(map(type, SET)))]


def name(operator):
    return f"{operator.name}-{'x'.join(map(str, operator.shape))}"


each = pytest.mark.parametrize("operator", INSTANCES, ids=name)


def images(operator, n=3, seed=0):
    return normal(n, *operator.shape, seed=seed)


def measurements(operator, n=3, seed=10):
    """Any measurements, also those that no image gives; zero where hidden."""
    shape = operator(images(operator)).shape[1:]
    return operator.hide(normal(n, *shape, seed=seed))


def test_every_operator_is_listed_tried_and_exported():
    assert set(OPERATORS) == named(OPERATORS, Operator)
    assert all(getattr(posteriori, cls.__name__) is cls for cls in OPERATORS)
    assert {type(operator) for operator in INSTANCES} == set(OPERATORS)
    assert len({operator.name for operator in OPERATORS}) == len(OPERATORS)


@each
def test_adjoint(operator):
    x, y = images(operator), measurements(operator)
    left = (operator(x) * y).flatten(1).double().sum(1)
    right = (x * operator.adjoint(y)).flatten(1).double().sum(1)
    torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-5)


@each
def test_linear_and_equal_to_its_matrix(operator):
    A, x, z = dense(operator), images(operator), images(operator, seed=1)
    torch.testing.assert_close(operator(2 * x - 3 * z), 2 * operator(x) - 3 * operator(z), atol=1e-5, rtol=1e-5)
    y = operator.observed(operator(x)).double()
    torch.testing.assert_close(y, x.flatten(1).double() @ A.T, atol=1e-5, rtol=1e-5)
    y = measurements(operator)
    adjoint = operator.observed(y).double() @ A
    torch.testing.assert_close(operator.adjoint(y).flatten(1).double(), adjoint, atol=1e-5, rtol=1e-5)


@each
@pytest.mark.parametrize("rho", [1e-2, 0.3, 10.0])
def test_prox_solves_its_normal_equations(operator, rho):
    A, z, y = dense(operator), images(operator), measurements(operator)
    x = operator.prox(z, y, rho)
    assert x.shape == z.shape
    x, z, y = x.flatten(1).double(), z.flatten(1).double(), operator.observed(y).double()
    gradient = (x @ A.T - y) @ A + rho * (x - z)
    assert gradient.abs().max() < 1e-4
    assert ((z @ A.T - y) @ A).abs().max() > 0.05  # at z it is not


@each
def test_prox_without_rho_projects(operator):
    A, z, y = dense(operator), images(operator), measurements(operator)
    pinv = torch.linalg.pinv(A, atol=operator.cutoff, rtol=0.0)
    flat_z, flat_y = z.flatten(1).double(), operator.observed(y).double()
    expected = flat_z + (flat_y - flat_z @ A.T) @ pinv.T
    torch.testing.assert_close(operator.prox(z, y, 0.0).flatten(1).double(), expected, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(operator.pinv(y).flatten(1).double(), flat_y @ pinv.T, atol=2e-3, rtol=1e-4)


@each
def test_factors_are_orthonormal(operator):
    c = normal(*operator.Ut(measurements(operator)).shape, seed=2)
    torch.testing.assert_close(operator.Ut(operator.U(c)), c, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(operator.Vt(operator.V(c)), c, atol=1e-5, rtol=1e-5)
    assert (operator.s >= 0).all()


@each
@pytest.mark.parametrize("var", [0.0, 0.3])
def test_log_normal(operator, var):
    A, r = dense(operator), measurements(operator)
    cov = 0.2**2 * torch.eye(len(A)) + var * A @ A.T
    exact = torch.distributions.MultivariateNormal(torch.zeros(len(A)).double(), cov)
    expected = exact.log_prob(operator.observed(r).double())
    torch.testing.assert_close(operator.log_normal(r, 0.2, var).double(), expected, atol=1e-2, rtol=2e-5)


@each
def test_log_normal_needs_noise(operator):
    with pytest.raises(ValueError, match="no density at sigma = 0"):
        operator.log_normal(measurements(operator), 0.0)


@each
def test_hide_and_observed(operator):
    x = images(operator)
    y = operator(x)
    any_y = normal(*y.shape, seed=4)
    assert torch.equal(operator.hide(y), y)
    assert torch.equal(operator.observed(operator.hide(any_y)), operator.observed(any_y))
    hidden = operator.hide(torch.ones_like(y)) == 0
    assert operator.observed(y).shape == (3, (~hidden[0]).sum())
    assert (operator.measure(x, 0.5)[hidden] == 0).all()


@each
def test_measure(operator):
    x = images(operator)
    together = operator.measure(x, 0.3, seed=1)
    for k in range(3):
        torch.testing.assert_close(operator.measure(x[k : k + 1], 0.3, seed=1)[0], together[k], atol=1e-6, rtol=1e-6)
    assert not torch.equal(operator.measure(x, 0.3, seed=2), together)
    torch.testing.assert_close(operator.measure(x, 0.0), operator(x), atol=1e-6, rtol=1e-6)
    named = operator.measure(x, 0.3, keys=[5, 6, 7])
    assert torch.equal(operator.measure(x.flip(0), 0.3, keys=[7, 6, 5]).flip(0), named)


@each
def test_measurement_noise_has_its_sigma(operator):
    x = images(operator, n=200)
    noise = operator.observed(operator.measure(x, 0.3) - operator(x)).double() / 0.3
    assert abs(noise.mean()) < 4 / noise.numel() ** 0.5
    assert abs(noise.var() - 1) < 4 * (2 / noise.numel()) ** 0.5


@each
def test_guess(operator):
    x = images(operator)
    guess = operator.guess(operator.measure(x, 0.1), 0.1)
    assert guess.shape == x.shape
    assert guess.dtype == x.dtype
    assert torch.isfinite(guess).all()


@each
def test_measure_refuses_other_shapes_and_noise(operator):
    x = images(operator)
    with pytest.raises(ValueError, match=r"this \w+ takes \(B, "):
        operator.measure(x[..., :-1], 0.1)
    for sigma in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"sigma is .*on the \[-1, 1\] scale"):
            operator.measure(x, sigma)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BoxMask(SHAPE, size=17), "box of 17 pixels at top -1, left -1 does not lie in 16 x 16"),
        (lambda: BoxMask(SHAPE, size=4, top=13), "at top 13"),
        (lambda: BoxMask(SHAPE, size=0), "size is 0: give at least 1"),
        (lambda: Mask(SHAPE, torch.ones(5, 5)), r"mask is \(5, 5\); the images are \(3, 16, 16\)"),
        (lambda: Mask(SHAPE, torch.zeros(16, 16)), "hides every pixel"),
        (lambda: GaussianBlur(SHAPE, sigma=0.0), "give a finite number above 0"),
        (lambda: GaussianBlur(SHAPE, sigma=float("nan")), "give a finite number above 0"),
        (lambda: GaussianBlur(SHAPE, sigma=1.0, size=4), "size is 4: give an odd number"),
        (lambda: GaussianBlur(SHAPE, sigma=1.0, size=-1), "size is -1: give at least 1"),
        (lambda: GaussianBlur(SHAPE, sigma=8.0, size=61), "reaches 30 pixels cannot be reflected"),
        (lambda: Downsample(SHAPE, 3), "give a divisor of both sides of 16 x 16"),
        (lambda: Downsample(SHAPE, 0), "factor is 0: give at least 1"),
        (lambda: Dense((4,), torch.ones(2, 3)), r"matrix is \(2, 3\); images of \(4,\) need \(m, 4\)"),
        (lambda: Dense((4,), torch.ones(0, 4)), "with m > 0"),
        (lambda: Dense((4,)), "with m > 0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_reports_box():
    box = BoxMask((3, 256, 256))
    assert (box.size, box.top, box.left) == (50, 103, 103)
    assert (~box.keep).sum() == 3 * 50 * 50
    assert not box.keep[:, 103:153, 103:153].any()
    assert BoxMask((3, 64, 64)).size == 13


DEGENERATE = torch.kron(torch.eye(4), torch.ones(1, 3)) @ torch.diag(normal(12, seed=3).sign())  # s = sqrt(3), 4 times


@pytest.mark.parametrize(
    "make",
    [
        lambda: GaussianBlur((1, 8, 12), sigma=1.0, size=7),
        lambda: Dense((6,), normal(4, 6)),
        lambda: Dense((12,), DEGENERATE),
        lambda: Dense((12,), DOUBLED),
    ],
    ids=["blur", "dense", "equal singular values", "rank 3 of 5"],
)
def test_measured_coordinates_are_the_operators_alone(make, monkeypatch):
    """Whatever signs LAPACK returns, and whatever basis where singular values are equal."""
    svd, x = torch.linalg.svd, normal(3, *make().shape)
    ours, count = make(), iter(range(99))

    def another(matrix, full_matrices=True):
        u, s, vt = svd(matrix, full_matrices=full_matrices)
        for value in s.unique():
            own = (s - value).abs() < 1e-9
            turn = -torch.linalg.qr(normal(int(own.sum()), int(own.sum()), seed=next(count), dtype=s.dtype))[0]
            u[:, own], vt[own] = u[:, own] @ turn, turn.T @ vt[own]
        return u, s, vt

    monkeypatch.setattr(torch.linalg, "svd", another)
    theirs = make()
    moved = another(torch.eye(3, dtype=torch.float64))[2]
    assert (moved - torch.eye(3)).abs().max() > 0.1
    kept = ours.kept
    torch.testing.assert_close(theirs.Vt(x)[:, kept], ours.Vt(x)[:, kept], atol=1e-6, rtol=0)
    torch.testing.assert_close(theirs.Ut(ours(x))[:, kept], ours.Ut(ours(x))[:, kept], atol=1e-6, rtol=0)

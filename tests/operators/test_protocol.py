"""What every operator keeps; the expected numbers come from its dense matrix."""

from dataclasses import fields

import pytest
import torch

import posteriori
from posteriori.operators import (
    CT,
    MRI,
    OPERATORS,
    Blur,
    BoxMask,
    Dense,
    Downsample,
    Fourier,
    GaussianBlur,
    Identity,
    Mask,
    MotionBlur,
    MulticoilMRI,
    WalshHadamard,
)
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.operators.rounding import Rounding
from tests.helpers import Quantiser, WithoutSVD, dense, named, normal

SHAPE = (3, 16, 16)
DOUBLED = normal(3, 12, seed=5)[[0, 1, 2, 0, 1]]  # rank 3 out of 5 rows
LOPSIDED = normal(3, 4, seed=6) + 1
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
    WalshHadamard((1, 8, 16), share=0.6),
    Fourier(SHAPE),
    Fourier((1, 9, 12), share=0.4),
    Fourier((2, 8, 7), share=0.4),
    MRI((3, 12, 15)),
    MRI((2, 8, 12), mask="equispaced"),
    MulticoilMRI((3, 8, 8), coils=2),
    MulticoilMRI((2, 9, 8)),
    CT((3, 8, 10), views=5),
]
INSTANCES = [*SET, Identity(SHAPE), *(cls(SHAPE) for cls in OPERATORS if cls not in set(map(type, SET)))]

#: beside each operator as it is by default
OTHERS = [
    *(Blur((2, 8, 9), LOPSIDED, border=border) for border in ("reflect", "circular", "replicate", "valid")),
    *(GaussianBlur((1, 10, 8), sigma=0.6, border=border) for border in ("circular", "replicate", "valid")),
    Blur((1, 6, 7), border="valid"),
    MotionBlur((1, 16, 12), size=9, seed=1, border="circular"),
    Downsample((2, 8, 6), 2) @ GaussianBlur((2, 8, 6), sigma=1.0, size=5),
    Dense((4,), normal(7, 4)) @ Dense((6,), normal(4, 6)),
    Mask((1, 8, 8), normal(1, 8, 8) > 0) @ Quantiser((1, 8, 8)),
    Quantiser(SHAPE),
    WithoutSVD(SHAPE, Mask(SHAPE, normal(1, 16, 16) > 0)),
    WithoutSVD((6,), Dense((6,), normal(4, 6))),
]


def name(operator):
    called = getattr(operator, "name", type(operator).__name__).replace(" ", "")
    return f"{called}-{getattr(operator, 'border', '')}-{'x'.join(map(str, operator.shape))}"


def of_type(kind):
    """Of every operator, what this type promises."""
    return pytest.mark.parametrize("operator", [o for o in [*INSTANCES, *OTHERS] if isinstance(o, kind)], ids=name)


each, linear = of_type(Operator), of_type(LinearOperator)
SPECTRAL = [o.svd for o in [*INSTANCES, *OTHERS] if isinstance(o, LinearOperator) and o.svd]
with_svd = pytest.mark.parametrize("operator", SPECTRAL, ids=name)


def images(operator, n=3, seed=0):
    return normal(n, *operator.shape, seed=seed)


def measurements(operator, n=3, seed=10):
    """Any measurements, also those that no image gives; zero where hidden."""
    shape = operator(images(operator)).shape[1:]
    return operator.zero_filled(normal(n, *shape, seed=seed))


def test_every_operator_is_listed_tried_and_exported():
    assert set(OPERATORS) == named(OPERATORS, Operator)
    assert all(getattr(posteriori, cls.__name__) is cls for cls in OPERATORS)
    assert {type(operator) for operator in INSTANCES} == set(OPERATORS)
    assert len({operator.name for operator in OPERATORS}) == len(OPERATORS)


@linear
def test_adjoint(operator):
    x, y = images(operator), measurements(operator)
    left = (operator(x) * y).flatten(1).double().sum(1)
    right = (x * operator.adjoint(y)).flatten(1).double().sum(1)
    torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-5)


@linear
def test_linear_and_equal_to_its_matrix(operator):
    A, x, z = dense(operator), images(operator), images(operator, seed=1)
    torch.testing.assert_close(operator(2 * x - 3 * z), 2 * operator(x) - 3 * operator(z), atol=1e-5, rtol=1e-5)
    y = operator.observed_entries(operator(x)).double()
    torch.testing.assert_close(y, x.flatten(1).double() @ A.T, atol=1e-5, rtol=1e-5)
    y = measurements(operator)
    adjoint = operator.observed_entries(y).double() @ A
    torch.testing.assert_close(operator.adjoint(y).flatten(1).double(), adjoint, atol=1e-5, rtol=1e-5)


@with_svd
@pytest.mark.parametrize("rho", [1e-2, 0.3, 10.0])
def test_prox_solves_its_normal_equations(operator, rho):
    A, z, y = dense(operator), images(operator), measurements(operator)
    x = operator.prox(z, y, rho)
    assert x.shape == z.shape
    x, z, y = x.flatten(1).double(), z.flatten(1).double(), operator.observed_entries(y).double()
    gradient = (x @ A.T - y) @ A + rho * (x - z)
    assert gradient.abs().max() < 1e-4
    assert ((z @ A.T - y) @ A).abs().max() > 0.05  # at z it is not


@with_svd
def test_prox_without_rho_projects(operator):
    A, z, y = dense(operator), images(operator), measurements(operator)
    pinv = torch.linalg.pinv(A, atol=operator.cutoff, rtol=0.0)
    flat_z, flat_y = z.flatten(1).double(), operator.observed_entries(y).double()
    expected = flat_z + (flat_y - flat_z @ A.T) @ pinv.T
    torch.testing.assert_close(operator.prox(z, y, 0.0).flatten(1).double(), expected, atol=2e-3, rtol=1e-4)
    torch.testing.assert_close(operator.pinv(y).flatten(1).double(), flat_y @ pinv.T, atol=2e-3, rtol=1e-4)


@with_svd
def test_factors_are_orthonormal(operator):
    c = normal(*operator.Ut(measurements(operator)).shape, seed=2)
    torch.testing.assert_close(operator.Ut(operator.U(c)), c, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(operator.Vt(operator.V(c)), c, atol=1e-5, rtol=1e-5)
    assert (operator.s >= 0).all()


@each
def test_zero_filled_and_observed_entries(operator):
    x = images(operator)
    y = operator(x)
    any_y = normal(*y.shape, seed=4)
    assert torch.equal(operator.zero_filled(y), y)
    assert torch.equal(operator.observed_entries(operator.zero_filled(any_y)), operator.observed_entries(any_y))
    hidden = operator.zero_filled(torch.ones_like(y)) == 0
    assert operator.observed_entries(y).shape == (3, (~hidden[0]).sum())


@each
def test_images_of_the_measured_shape(operator):
    """For square pictures, but for a matrix, which may measure those of any shape."""
    if len(operator.shape) == 3 and len({*operator.shape[1:]}) == 1 and type(operator) in {*OPERATORS} - {Dense}:
        given = {field.name: getattr(operator, field.name) for field in fields(operator) if field.name != "shape"}
        assert type(operator).image_shape(operator.measured_shape, **given) == operator.shape


@each
def test_what_is_no_picture_is_drawn_as_one(operator):
    y = operator(images(operator))
    drawn = operator.drawing(y)
    if drawn is None:
        assert y.ndim == 4
        return
    label, picture = drawn
    assert label
    assert picture.ndim == 4
    assert picture.shape[:2] == (3, 3)
    assert torch.isfinite(picture).all()
    assert picture.std() > 0.05


@each
def test_the_shapes_of_a_measurement_and_of_the_initial_estimate(operator):
    x = images(operator)
    y = operator(x)
    assert y.shape == (3, *operator.measured_shape)
    first = operator.initial_estimate(y)
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert torch.isfinite(first).all()


@each
def test_gradients_are_those_of_differences(operator):
    if isinstance(operator, Rounding):
        pytest.skip("its gradient passes the rounding: tests/operators/test_nonlinear.py")
    x, towards = images(operator).double(), images(operator, seed=1).double()
    _, change = torch.autograd.functional.jvp(operator, x, towards)
    expected = (operator(x + 1e-5 * towards) - operator(x - 1e-5 * towards)) / 2e-5
    assert change.abs().max() > 0.1
    torch.testing.assert_close(change, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BoxMask(SHAPE, size=17), "box of 17 pixels at top -1, left -1 does not lie in 16 x 16"),
        (lambda: BoxMask(SHAPE, size=4, top=13), "at top 13"),
        (lambda: BoxMask(SHAPE, size=16), "a box of 16 pixels hides all of 16 x 16: make it smaller"),
        (lambda: BoxMask(SHAPE, size=0), "size is 0: give at least 1"),
        (lambda: Mask(SHAPE, torch.ones(5, 5)), r"mask is \(5, 5\); the images are \(3, 16, 16\)"),
        (lambda: Mask(SHAPE, torch.zeros(16, 16)), "hides every pixel"),
        (lambda: GaussianBlur(SHAPE, sigma=0.0), "give a finite number above 0"),
        (lambda: GaussianBlur(SHAPE, sigma=float("nan")), "give a finite number above 0"),
        (lambda: GaussianBlur(SHAPE, sigma=1.0, size=4), "size is 4: give an odd number"),
        (lambda: GaussianBlur(SHAPE, sigma=1.0, size=-1), "size is -1: give at least 1"),
        (lambda: GaussianBlur(SHAPE, sigma=8.0, size=61), "reaches 30 pixels is too wide for 16 x 16"),
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

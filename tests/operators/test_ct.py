"""Computed tomography, beside scikit-image's Radon transform."""

import numpy as np
import pytest
import torch

from posteriori.operators import CT
from tests.helpers import dense, normal


def phantom(side):
    """A disc and two squares, smooth, on [-1, 1]."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    disc = 1 / (1 + np.exp((np.hypot(x, y) - 0.35) * side))
    image = disc - 0.6 * np.exp(-((x - 0.1) ** 2 + y**2) * 60) - 0.4 * np.exp(-((x + 0.15) ** 2 + (y + 0.1) ** 2) * 200)
    return torch.from_numpy(image).float()[None, None]


@pytest.mark.parametrize("side", [16, 33])
@pytest.mark.parametrize("span", [180.0, 70.0])
def test_the_sinogram_is_scikit_images(side, span):
    skimage = pytest.importorskip("skimage.transform", reason="scikit-image is not installed")
    A, x = CT((1, side, side), views=7, span=span), normal(1, 1, side, side)
    expected = skimage.radon(x[0, 0].double().numpy(), A.angles, circle=False) / side
    assert A.measured_shape == (1, *expected.shape)
    np.testing.assert_allclose(A(x.double())[0, 0].numpy(), expected, atol=1e-6)
    assert np.abs(expected).max() > 0.1


def test_filtered_back_projection_is_scikit_images():
    skimage = pytest.importorskip("skimage.transform", reason="scikit-image is not installed")
    x = phantom(32)
    A = CT((1, 32, 32), views=60)
    y = A(x)
    expected = skimage.iradon(32 * y[0, 0].double().numpy(), A.angles, output_size=32, filter_name="ramp", circle=False)
    found = A.initial_estimate(y)[0, 0].numpy()
    error = np.sqrt(np.mean((found - expected) ** 2))
    assert error < 0.02  # they interpolate otherwise; the phantom goes from 0 to 1


def test_filtered_back_projection_inverts():
    x = phantom(48)
    errors = []
    for views in (90, 6):
        A = CT((1, 48, 48), views=views)
        errors.append((A.initial_estimate(A(x)) - x).square().mean().sqrt().item())
    assert errors[0] < 0.04
    assert errors[1] > 2 * errors[0]


def test_lines_across_and_down():
    """At 0 degrees the columns' sums, at 90 the rows'."""
    A, x = CT((2, 8, 8), views=2), normal(3, 2, 8, 8)
    y = 8 * A(x)
    first = A._bins // 2 - 4
    torch.testing.assert_close(y[:, :, first : first + 8, 0], x.sum(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(y[:, :, first + 1 : first + 9, 1].flip(-1), x.sum(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.sum(2), x.sum((2, 3))[..., None].expand(-1, -1, 2), atol=1e-4, rtol=0)


def test_attenuations():
    """y = (2 p - radon(1)) / N of x = 2 mu - 1."""
    A, mu = CT((1, 8, 8), views=5), torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    p = 8 * A(mu)
    torch.testing.assert_close(A(2 * mu - 1), (2 * p - 8 * A(torch.ones_like(mu))) / 8, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 8, 12)])
def test_the_adjoint_is_exact(shape):
    A = CT(shape, views=9)
    x, y = normal(2, *shape).double(), normal(2, *A.measured_shape, seed=1).double()
    left, right = (A(x) * y).sum(), (x * A.adjoint(y)).sum()
    assert abs(left - right) < 1e-12 * abs(left)


@pytest.mark.parametrize("rho", [0.05, 1.0])
def test_prox_is_stationary(rho):
    A = CT((1, 8, 8), views=6)
    z, y = normal(2, 1, 8, 8), normal(2, *A.measured_shape, seed=1)
    x, matrix = A.prox(z, y, rho).flatten(1).double(), dense(A)
    z, y = z.flatten(1).double(), y.flatten(1).double()
    slope, at_z = (((v @ matrix.T - y) @ matrix + rho * (v - z)).norm(dim=1) for v in (x, z))
    assert (slope < 2e-5 * at_z).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CT((1, 8, 8), views=0), "views is 0"),
        (lambda: CT((1, 8, 8), span=200.0), "span is 200"),
        (lambda: CT((8,)), "takes"),
        (lambda: CT((3, 4096, 4096), views=720), r"720 views of 4096 x 4096 pixels need 405 GiB.* views up to 14"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""Magnetic resonance imaging: masks, coils, and the proximal map."""

import numpy as np
import pytest
import torch

from posteriori.operators import MRI, MulticoilMRI
from posteriori.operators.mri import birdcage
from posteriori.settings.text import format_spec, parse_operator
from tests.helpers import dense, normal

SIZE = (2, 32, 320)


@pytest.mark.parametrize(("acceleration", "middle"), [(4.0, 26), (8.0, 13)])
def test_fastmris_middle(acceleration, middle):
    """round(0.08 * 320) and round(0.04 * 320) columns around the zero frequency."""
    for mask in ("random", "equispaced"):
        keep = MRI(SIZE, mask=mask, acceleration=acceleration).keep
        assert (keep == keep[:1]).all(), "whole columns"
        first = (320 - middle + 1) // 2
        assert keep[0, first : first + middle].all()
        assert first <= 160 < first + middle


def test_the_expected_number_of_columns():
    counts = torch.tensor([MRI(SIZE, seed=seed).keep[0].sum() for seed in range(200)]).double()
    p = (80 - 26) / (320 - 26)  # of each column outside of the middle
    assert abs(counts.mean() - 80) < 4 * (294 * p * (1 - p) / 200) ** 0.5
    assert counts.std() > 3
    for acceleration in (4.0, 8.0):
        for seed in range(20):
            own = MRI(SIZE, mask="equispaced", acceleration=acceleration, seed=seed).keep[0].sum()
            assert abs(own - 320 / acceleration) <= 3  # some lie in the middle already


def test_equispaced_columns_are_so():
    A = MRI(SIZE, mask="equispaced", acceleration=4.0, seed=3)
    columns = A.keep[0].nonzero().flatten()
    gaps = columns[columns > 180].diff()
    spacing = (320 - 26) / (80 - 26)  # fastMRI's adjusted acceleration
    assert set(gaps.tolist()) <= {int(spacing), int(spacing) + 1}
    assert gaps.double().mean() == pytest.approx(spacing, abs=0.1)


def test_complex_images_are_two_channels():
    x = normal(2, 2, 16, 16)
    A = MRI((2, 16, 16))
    z = torch.complex(x[:, 0], x[:, 1])
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(z.numpy(), (-2, -1)), norm="ortho"), (-2, -1))
    np.testing.assert_allclose(A(x)[:, 0].numpy() + 1j * A(x)[:, 1].numpy(), np.where(A.keep, k, 0), atol=1e-5)
    assert MRI((2, 16, 16), acceleration=1.0).pinv(MRI((2, 16, 16), acceleration=1.0)(x)).allclose(x, atol=1e-5)


def test_a_turned_phase_is_a_turned_measurement():
    A, x = MulticoilMRI((2, 8, 8)), normal(1, 2, 8, 8)
    turn = lambda a: torch.stack([-a.select(-3, 1), a.select(-3, 0)], -3)  # times i  # noqa: E731
    torch.testing.assert_close(A(turn(x)), turn(A(x)))


def test_coils_by_hand():
    maps = torch.complex(normal(3, 8, 10), normal(3, 8, 10, seed=1))
    A, x = MulticoilMRI((1, 8, 10), maps=maps), normal(2, 1, 8, 10)
    assert A.coils == 3
    for c in range(3):
        z = maps[c] * x
        own = MRI((2, 8, 10))(torch.cat([z.real, z.imag], 1))
        torch.testing.assert_close(A(x)[:, 0, c], own, atol=1e-5, rtol=0)


def test_one_coil_of_constant_sensitivity_is_single_coil_mri():
    x = normal(2, 3, 16, 16)
    one = MulticoilMRI((3, 16, 16), maps=torch.ones(1, 16, 16, dtype=torch.complex64))
    torch.testing.assert_close(one(x)[:, :, 0], MRI((3, 16, 16))(x))


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 8, 6)])
@pytest.mark.parametrize("rho", [0.05, 1.0])
def test_prox_of_several_coils_is_stationary(shape, rho):
    A = MulticoilMRI(shape)
    z, y = normal(2, *shape), A.zero_filled(normal(2, *A.measured_shape, seed=1))
    x, matrix = A.prox(z, y, rho).flatten(1).double(), dense(A)
    z, y = z.flatten(1).double(), A.observed_entries(y).double()
    slope, at_z = (((v @ matrix.T - y) @ matrix + rho * (v - z)).norm(dim=1) for v in (x, z))
    assert (slope < 2e-5 * at_z).all()


def test_simulated_maps():
    maps = birdcage(4, 24, 32)
    assert maps.shape == (4, 24, 32)
    torch.testing.assert_close(maps.abs().square().sum(0), torch.ones(24, 32, dtype=torch.float64))
    right, below = maps.abs()[0], maps.abs()[1]
    assert right[:, -1].mean() > 2 * right[:, 0].mean()
    assert below[-1].mean() > 2 * below[0].mean()
    spectrum = torch.linalg.svdvals(dense(MulticoilMRI((2, 8, 8))))
    assert spectrum[0] <= 1 + 1e-5  # since they are normalised
    assert (spectrum > 0.05).sum() > 2 * 8 * 2 * 1.5, "coils know more than the columns that one of them measures"


def test_simulated_maps_are_sigpys():
    sigpy = pytest.importorskip("sigpy.mri", reason="sigpy is not installed")
    np.testing.assert_allclose(birdcage(5, 12, 16).numpy(), sigpy.birdcage_maps((5, 12, 16)), atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MRI((1, 8, 8), acceleration=4.0, centre=0.5), "4 columns, and acceleration 4 leaves 2 of 8"),
        (lambda: MRI((1, 8, 4), acceleration=8.0), "leaves 0.5 of 4: lower acceleration or centre"),
        (lambda: MRI((1, 8, 8), acceleration=0.5), "acceleration is 0.5"),
        (lambda: MRI((1, 8, 8), mask="spiral"), "mask is 'spiral': give one of random, equispaced"),
        (lambda: MulticoilMRI((1, 8, 8), maps=torch.ones(2, 8, 8)), "of float32; images of .* need complex"),
        (lambda: MulticoilMRI((1, 8, 8), maps=torch.ones(8, 8) + 0j), r"the maps are \(8, 8\) of complex64"),
        (lambda: MulticoilMRI((1, 8, 8), maps=torch.zeros(2, 8, 8) + 0j), "only zeros"),
        (lambda: MulticoilMRI((1, 8, 8), maps=torch.full((2, 8, 8), torch.nan) + 0j), "NaN"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_maps_have_no_text():
    text = format_spec(MulticoilMRI((1, 8, 8)))
    assert format_spec(parse_operator(text, (1, 8, 8))) == text
    with pytest.raises(ValueError, match="this multicoil-mri holds an array"):
        format_spec(MulticoilMRI((1, 8, 8), maps=torch.ones(2, 8, 8) + 0j))


def test_other_maps_are_another_operator():
    maps = [torch.full((1, 8, 8), value) + 0j for value in (1.0, 2.0)]
    assert MulticoilMRI((1, 8, 8), maps=maps[0]) != MulticoilMRI((1, 8, 8), maps=maps[1])
    assert MRI((1, 8, 8)) == MRI((1, 8, 8)) != MRI((1, 8, 8), seed=1)

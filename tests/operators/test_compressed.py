"""Compressed sensing, beside Hadamard's matrix as SciPy has it and NumPy's Fourier transform."""

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

from posteriori.operators import Fourier, WalshHadamard
from tests.helpers import normal


def test_the_transform_is_hadamards_matrix_in_natural_order():
    A, x = WalshHadamard((3, 8, 16), share=0.3, seed=4), normal(2, 3, 8, 16)
    assert A.measured_shape == (3, round(0.3 * 128))
    expected = x.flatten(2).double() @ torch.from_numpy(hadamard(128)).double() / 128**0.5
    torch.testing.assert_close(A(x).double(), expected[..., A.chosen], atol=1e-5, rtol=0)


def test_the_whole_of_it_is_the_picture_again():
    A, x = WalshHadamard((1, 8, 8), share=1.0), normal(2, 1, 8, 8)
    torch.testing.assert_close(A.pinv(A(x)), x, atol=1e-5, rtol=0)
    assert sorted(A.chosen.tolist()) == list(range(64))


def test_seeds_choose_other_coefficients():
    chosen = [WalshHadamard((1, 16, 16), seed=seed).chosen for seed in (0, 0, 1)]
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])
    assert {int(order[0]) for order in chosen} == {0}, "the mean is always measured"
    keep = [Fourier((1, 16, 16), seed=seed).keep for seed in (0, 0, 1)]
    assert torch.equal(keep[0], keep[1])
    assert not torch.equal(keep[0], keep[2])


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 9, 12), (2, 15, 8)])
def test_k_space_is_numpys(shape):
    A, x = Fourier(shape, share=0.4), normal(2, *shape).double()
    z = x[:, 0] + 1j * x[:, 1] if shape[0] == 2 else x
    axes = (-2, -1)
    k = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(z.numpy(), axes), norm="ortho"), axes)
    expected = np.where(A.keep, np.stack([k.real, k.imag], -3), 0)
    np.testing.assert_allclose(A(x).numpy(), expected, atol=1e-12)
    assert A(x).shape[1:] == ((2, *shape[1:]) if shape[0] == 2 else (shape[0], 2, *shape[1:]))


def test_share_and_middle_of_k_space():
    A = Fourier((3, 32, 32), share=0.25, centre=0.125)
    assert A.keep.sum() == 256
    assert A.keep[14:18, 14:18].all()
    assert A.keep.float().mean() < A.keep[13:19, 13:19].float().mean()
    assert Fourier((1, 8, 8), share=1.0).keep.all()
    assert Fourier((1, 16, 16), share=0.5, centre=0.0).keep.sum() == 128


def test_a_real_pictures_mirrored_frequencies_are_known_too():
    """Of a pair k and -k one is enough, with s^2 = 1/2; both give 1."""
    A = Fourier((1, 8, 8), share=0.5, centre=0.0, seed=1)
    mirrored = {(-row % 8, -column % 8) for row, column in ((A.keep.nonzero() - 4) % 8).tolist()}
    own = {(row, column) for row, column in ((A.keep.nonzero() - 4) % 8).tolist()}
    squares = (2 * A.s.square()).round() / 2
    assert (squares == 1).sum() == len(own & mirrored)
    assert (squares == 0.5).sum() == len(own ^ mirrored)
    assert len(squares) == len(own | mirrored)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WalshHadamard((3, 12, 16)), "12 x 16 pixels are not a power of two"),
        (lambda: WalshHadamard((3, 4, 4), share=0.01), "that is nothing"),
        (lambda: WalshHadamard((3, 4, 4), share=1.5), "share is 1.5: give a finite number above 0 up to 1"),
        (lambda: WalshHadamard((4,)), r"the images are \(4,\): this operator takes \(C, H, W\)"),
        (lambda: Fourier((3, 16, 16), share=0.05, centre=0.5), "13 of 16 x 16 points, and the middle has 64"),
        (lambda: Fourier((3, 4, 4), share=0.01, centre=0.0), "raise share"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

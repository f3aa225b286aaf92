"""Kernels and widths found in blurred pictures."""

import numpy as np
import pytest
import torch

from posteriori.diagnosis.blind import busiest, find_any, find_width, likeness
from posteriori.diagnosis.kernel import cleaned, edges, find_kernel, fitted, framed, gradient, transfer
from posteriori.diagnosis.spectrum import FALL, gaussian_width
from posteriori.errors import PosterioriError
from posteriori.images.files import load_image
from posteriori.operators import GaussianBlur, MotionBlur


def rectangles():
    """A picture of few edges, which are far from its border."""
    rng, x = np.random.default_rng(0), np.zeros((128, 128))
    for _ in range(30):
        (top, bottom), (left, right) = np.sort(rng.integers(24, 104, (2, 2)), 1)
        x[top:bottom, left:right] = rng.uniform()
    return x


def blurred(x, k):
    return np.fft.irfft2(np.fft.rfft2(x) * transfer(k, x.shape), x.shape)


def path(side):
    """A camera's path, its mean in the middle."""
    return MotionBlur((3, 64, 64), size=side, seed=1).weights


def luminance(x):
    return (x[0].mean(0).double().numpy() + 1) / 2


def test_the_kernel_between_known_pictures_is_theirs():
    x, k = rectangles(), path(11)
    found = fitted(gradient(x), gradient(blurred(x, k)), 11)
    assert found.sum() == pytest.approx(1, abs=0.01)
    assert np.abs(found - k).max() < 0.02 * k.max()


def test_a_rough_kernel_costs():
    """Of white noise, where nothing is known of the kernel, more weight makes a smoother one."""
    g, h = (np.random.default_rng(i).normal(size=(2, 64, 64)) for i in range(2))
    steps = [np.abs(np.diff(fitted(g, h, 9, rough))).sum() for rough in (0.0, 1e4, 1e5)]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_edges_of_a_picture_of_edges_are_its_own():
    x, k, weight = rectangles(), path(7), 1e-3
    exact = gradient(x)
    assert edges(x, np.ones((1, 1)), weight) == pytest.approx(exact, abs=weight**0.5)
    assert ((edges(blurred(x, k), k, weight) - exact) ** 2).sum() < 0.05 * (exact**2).sum()


def test_an_edge_that_is_not_worth_its_weight_is_none():
    x = np.zeros((64, 64))
    x[16:48, 16:48] = 0.01
    assert np.abs(edges(x, np.ones((1, 1)), 0.1)).max() < 1e-4


def test_kernels_are_framed_and_cleaned():
    k = np.zeros((9, 9))
    k[1, 2], k[1, 3], k[8, 8], k[5, 5] = 1, 0.5, 0.01, 0.02
    assert cleaned(k).sum() == pytest.approx(1)
    assert np.flatnonzero(cleaned(k)).tolist() == [11, 12]  # the others are faint, or hold too little
    middle = framed(cleaned(k), 5)
    assert middle.shape == (5, 5)
    assert middle[2, 2:4] == pytest.approx([2 / 3, 1 / 3])


def test_likeness_does_not_depend_on_place_or_window():
    k = path(11)
    assert likeness(k, np.pad(k, ((0, 6), (4, 2)))) == pytest.approx(1)
    assert likeness(k, k.T) < 0.9


@pytest.mark.parametrize(("name", "sigma"), [("coffee", 0.01), ("chelsea", 0.01), ("coffee", 0.04)])
def test_a_path_is_found(name, sigma):
    operator = MotionBlur((3, 150, 141), size=13, seed=2, border="valid")
    x = load_image(name)[..., 40:190, 60:201]
    y = operator(x)
    y += sigma * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    found = find_kernel(luminance(y), 17, sigma / 2 / 3**0.5)
    assert found.shape == (17, 17)
    assert found.sum() == pytest.approx(1)
    assert found.min() == 0
    assert likeness(found, operator.weights) > (0.8 if sigma == 0.01 else 0.7)


def test_the_kernel_that_three_windows_agree_on():
    operator = MotionBlur((3, 128, 128), size=9, seed=0, border="valid")
    ticks = []
    found = find_any(operator(load_image("coffee", size=128)), 15, "coffee", lambda: ticks.append(1))
    assert likeness(found.k, operator.weights) > 0.8
    assert found.agreement > 0.8
    assert len(ticks) == 15


def test_a_window_that_is_too_large_is_refused():
    with pytest.raises(PosterioriError, match=r"64 x 80 pixels, too few .* window of 35: .* up to 21"):
        find_any(torch.zeros(1, 3, 80, 64), None, "small.png")


def test_the_busiest_part_is_taken():
    x = np.zeros((90, 100))
    x[50:80:2, 60:90] = 1
    assert busiest(x, 200).shape == (90, 100)
    assert busiest(x, 40).any(1).sum() == 15


@pytest.mark.parametrize("s", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_width_of_a_blurred_power_law_is_exact(s, noise):
    """White noise made a power law, and a Gaussian blur, both in closed form by the Fourier transform."""
    rng, side = np.random.default_rng(0), 256
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    f[0, 0] = 1
    transfer = f ** (-FALL / 2) * np.exp(-2 * (np.pi * f * s) ** 2)
    y = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) * transfer, (side, side))
    assert gaussian_width(y + noise * rng.normal(size=y.shape)) == pytest.approx(s, rel=0.07)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("grey", [False, True])
def test_widths_of_photographs(name, grey):
    x = load_image(name)[..., :171, :160]
    x = x.mean(1, keepdim=True).expand_as(x) if grey else x
    for s in (1.0, 2.0, 3.0):
        y = GaussianBlur((3, 171, 160), sigma=s)(x)
        for noise in (0.01, 0.04):
            n = torch.randn(y[:, : 1 if grey else 3].shape, generator=torch.Generator().manual_seed(0))
            found = find_width(y + noise * n)
            assert found.sigma == pytest.approx(s, rel=0.25)
            assert found.least < found.largest

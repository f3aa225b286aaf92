"""Noise found in pictures: what was put in comes out."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from posteriori.diagnosis.noise import ROUNDING, find_noise, white_level
from posteriori.errors import PosterioriError
from posteriori.images.files import load_image


def smooth(height=192, width=160):
    """A picture without texture, (1, 3, H, W): slow waves, another in each channel."""
    v, u = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 2, width), indexing="ij")
    return torch.stack([0.7 * torch.sin(v + u), 0.6 * torch.cos(2 * v), 0.5 * torch.sin(u - v)])[None]


def normal(x, seed=0):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("grey", [False, True])
def test_white_noise_on_a_smooth_picture(sigma, grey):
    x = smooth()
    noise = normal(x)
    if grey:
        x, noise = x[:, :1].expand_as(x), noise[:, :1].expand_as(x)
    found = find_noise(x + sigma * noise)
    assert found.white == pytest.approx(sigma, rel=0.03)
    assert found.sigma == found.white
    assert found.grain == pytest.approx(sigma / 2, rel=0.15)  # of means over 2 x 2
    assert found.directed == pytest.approx(0, abs=0.1)
    assert not found.correlated


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("sigma", [10 / 127.5, 40 / 127.5])
def test_white_noise_on_a_photograph(name, sigma):
    x = load_image(name)[..., :199, :211]
    found = find_noise(x + sigma * normal(x))
    assert found.sigma == pytest.approx(sigma, rel=0.1)


def test_white_noise_on_a_small_face():
    x = load_image("astronaut", size=64)
    assert find_noise(x + 0.2 * normal(x)).sigma == pytest.approx(0.2, rel=0.1)


def test_it_agrees_with_scikit_image_where_there_is_no_texture():
    pytest.importorskip("pywt")
    restoration = pytest.importorskip("skimage.restoration")
    y = smooth() + 0.1 * normal(smooth())
    other = np.mean(restoration.estimate_sigma(y[0].numpy(), channel_axis=0))
    assert white_level(y) == pytest.approx(other, rel=0.03)


def test_texture_is_not_noise():
    """Stripes of one pixel, as strong as noise of 0.5, which the differences of neighbours take for it."""
    x = smooth() + 0.5 * (-1.0) ** torch.arange(160)
    assert white_level(x + 0.02 * normal(x)) == pytest.approx(0.02, rel=0.05)


def test_a_clean_picture_has_what_rounding_left():
    x = (smooth() * 127.5).round() / 127.5
    assert find_noise(x).sigma == pytest.approx(ROUNDING, rel=0.1)


def test_smoothed_noise_is_a_cameras():
    """Grey noise smoothed by a Gaussian of 0.8 pixels; at half the resolution its variance is in closed form."""
    x, sigma = smooth(512, 512), 0.1
    taps = torch.exp(-0.5 * (torch.arange(-4.0, 5.0) / 0.8).square())
    taps /= taps.sum()
    kernel = taps[:, None] * taps
    grain = F.conv2d(sigma * normal(x[:, :1]), kernel[None, None], padding=4).expand_as(x)
    found = find_noise(x + grain)
    means = np.convolve(taps, [0.5, 0.5])  # of 2 x 2, in one direction
    r = np.correlate(means, means, "full")[len(means) - 1 :][::2]  # its covariance at distances of 2 pixels
    once = (2 * r[0] + 2 * r[1]) / 4  # with the binomial filter, and of the filtered
    twice = (6 * r[0] + 8 * r[1] + 2 * r[2]) / 16
    variance = (r[0] ** 2 - 2 * once**2 + twice**2) / (1 - 2 / 4 + 36 / 256)
    assert found.correlated
    assert found.even == pytest.approx(0.93, abs=0.05)
    assert found.grain == pytest.approx(sigma * math.sqrt(3 * variance), rel=0.15)  # in luminance
    assert found.directed == pytest.approx(0, abs=0.1)
    places = F.interpolate(normal(x[:, :1, ::32, ::32], seed=1).exp(), scale_factor=32)
    assert not find_noise(x + places * grain).correlated, "texture, which is not alike in all places"
    assert found.sigma == found.grain > 3 * found.white


def test_waves_of_any_direction_are_texture():
    """Whose strength is the same everywhere, and whose spectrum has no direction: only each place of 16 pixels has."""
    v, u = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    angle = F.interpolate(torch.pi * torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0)), (256, 256))
    waves = 0.05 * torch.sin(1.2 * (torch.cos(angle) * u + torch.sin(angle) * v))
    found = find_noise(smooth(256, 256) + waves)
    assert found.grainy
    assert found.directed > 0.6
    assert not found.correlated


def test_a_part_of_the_cat_that_is_fur_alone():
    """Alike in all its flat places, and no coarser at a quarter of the resolution."""
    found = find_noise(load_image("chelsea")[..., :256, 80:336])
    assert found.grainy
    assert found.even > 0.75
    assert found.directed > 0.3
    assert found.sigma == pytest.approx(0.005, abs=0.002)


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_fur_and_wood_are_no_cameras_noise(name):
    assert not find_noise(load_image(name)).correlated


def test_a_small_picture_of_fur_is_no_cameras_noise():
    """At a quarter of its resolution too little is left to tell."""
    x = F.conv2d(load_image("chelsea")[..., 60:190, 100:230].swapaxes(0, 1), torch.full((1, 1, 3, 3), 1 / 9))
    found = find_noise(x.swapaxes(0, 1) + 0.005 * normal(x.swapaxes(0, 1)))
    assert not found.correlated
    assert found.sigma == pytest.approx(0.005, rel=0.1)


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_the_texture_of_a_grey_photograph_is_no_noise(name):
    x = load_image(name).mean(1, keepdim=True)
    y = (x + 0.01 * normal(x)).expand(-1, 3, -1, -1)
    assert white_level(y) > 0.02, "which its patches alone would say"
    assert 0.01 < find_noise(y).sigma < 0.018


def test_a_smooth_picture_has_no_grain():
    assert not find_noise(smooth()).correlated


def test_too_small_a_picture_is_said():
    with pytest.raises(PosterioriError, match="has 40 x 31 pixels, too few to estimate its noise"):
        find_noise(torch.zeros(1, 3, 31, 40))

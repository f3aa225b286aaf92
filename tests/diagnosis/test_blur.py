"""Blur found in pictures."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from posteriori.diagnosis.blur import edge_widths, find_blur
from posteriori.diagnosis.jpeg import FoundJPEG
from posteriori.diagnosis.noise import FoundNoise
from posteriori.diagnosis.picture import LEAST, Diagnosis
from posteriori.images.files import load_image


def normal(x):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("width", [0.7, 1.5, 3.0])
def test_the_width_of_a_blurred_step_is_exact(width):
    """A disc whose radius is large beside the blur: its edge is a step, blurred in closed form."""
    v, u = np.mgrid[:240, :240]
    distance = np.hypot(v - 120, u - 120) - 80
    x = torch.from_numpy(-0.6 * erf(distance / (2**0.5 * width))).expand(1, 3, -1, -1)
    assert np.median(edge_widths(x, 0.0)) == pytest.approx(width, rel=0.05)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
@pytest.mark.parametrize("sigma", [0.005, 0.02])
def test_photographs(name, sigma):
    x = load_image(name)[..., :300, :300]
    assert find_blur(x + sigma * normal(x), sigma) is None
    blurred = torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, 2.5, 2.5)))
    assert find_blur(blurred + sigma * normal(x), sigma) == pytest.approx(2.5, rel=0.3)


def test_noise_and_plains_have_no_blur():
    x = torch.zeros(1, 3, 100, 100)
    assert find_blur(x, 0.0) is None
    assert find_blur(0.1 * normal(x), 0.1) is None


def test_a_blur_is_undone_with_no_less_noise_than_samplers_were_measured_at():
    faint, jpeg = FoundNoise(0.002, 0.001, 0.001, 0.9, 0.0), FoundJPEG(92, 0.02)
    assert Diagnosis(faint, None, None, None).sigma < LEAST
    assert Diagnosis(faint, None, 2.0, None).sigma == LEAST
    assert Diagnosis(faint, jpeg, 2.0, None).sigma == 0.02

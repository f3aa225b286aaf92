import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

from posteriori.operators import GaussianBlur
from tests.helpers import normal


def test_the_official_blur(golden):
    recorded = load_file(golden / "blur.safetensors")
    blur = GaussianBlur((3, 64, 64), sigma=3.0, size=61)
    kernel = np.pad(blur.kernel, (61 - len(blur.kernel)) // 2)
    np.testing.assert_allclose(np.outer(kernel, kernel), recorded["kernel"].numpy(), atol=1e-8)
    torch.testing.assert_close(blur(recorded["x"]), recorded["Ax"], atol=2e-6, rtol=0)
    noise = recorded["y"] - blur(recorded["x"])
    assert noise.std() == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize("sigma", [0.5, 1.3, 3.0])
def test_equals_scipy(sigma):
    x = normal(2, 3, 32, 40)
    blur = GaussianBlur((3, 32, 40), sigma=sigma)
    expected = gaussian_filter(x.double().numpy(), (0, 0, sigma, sigma), mode="mirror", truncate=4)
    np.testing.assert_allclose(blur(x).numpy(), expected, atol=2e-6)


def test_a_smaller_window_cuts_the_kernel():
    blur = GaussianBlur((1, 32, 32), sigma=3.0, size=9)
    weights = np.exp(-0.5 * (np.arange(-4, 5) / 3) ** 2)
    np.testing.assert_allclose(blur.kernel, weights / weights.sum())


def test_constants_stay_and_the_adjoint_is_another_map():
    blur = GaussianBlur((1, 32, 32), sigma=2.0)
    ones = torch.ones(1, 1, 32, 32)
    torch.testing.assert_close(blur(ones), ones)
    assert (blur.adjoint(ones) - ones).abs().max() > 0.1  # reflecting borders: not symmetric

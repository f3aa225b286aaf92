"""The study of blind deconvolution, on pictures whose answers are known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from posteriori.images.files import load_image
from posteriori.studies.guide.blind import _shake_table, aligned_error


@pytest.mark.parametrize("by", [(0, 0), (3, -5), (2.25, 4.5)])
def test_a_shift_is_no_error_and_noise_is_one(by):
    """Up to its square: the spline of a part of a pixel smooths it."""
    truth = gaussian_filter(load_image("coffee")[0, 0, :160, :170].double().numpy(), 1.5)
    moved = shift(truth, by, order=3, mode="nearest")
    assert aligned_error(moved, truth) < 1e-4
    noise = 0.05 * np.random.default_rng(0).normal(size=truth.shape)
    assert 0.4 * 0.05**2 < aligned_error(moved + noise, truth) < 1.05 * 0.05**2


def test_the_table_counts_what_is_below_three():
    own = {"psnr": {"measured": 20, "true": 30, "blind": 28}, "likeness": 1, "seconds": 1}
    found = {f"im1_kernel{i}": own | {"ratio": i, "agreement": 0.75 + 0.1 * i} for i in (1, 2, 3, 4)}
    assert "Error ratios below 3: 2 of 4; the median is 2.50." in _shake_table(found)[-1]
    assert "is sure of 3 kernels; 1 of these have a ratio below 3." in " ".join(_shake_table(found)[-1].split())

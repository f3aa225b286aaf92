"""Fewer pixels, beside torch's and Pillow's interpolation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from posteriori.operators import Bicubic, Blur, Decimate, Downsample
from posteriori.operators.separable import Separable
from tests.helpers import dense, normal


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_bicubic_is_torchs_antialiased_one_of_the_mirrored_picture(factor):
    x = normal(2, 3, 48, 72, dtype=torch.float64)
    around = 6 * factor
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (around, around), (around, around)), mode="symmetric")
    smaller = F.interpolate(torch.from_numpy(padded), scale_factor=1 / factor, mode="bicubic", antialias=True)
    torch.testing.assert_close(Bicubic((3, 48, 72), factor)(x), smaller[..., 6:-6, 6:-6], atol=1e-6, rtol=0)


def test_bicubic_is_pillows_inside():
    x = normal(1, 1, 64, 64)
    pillow = np.array(Image.fromarray(x[0, 0].numpy()).resize((16, 16), Image.Resampling.BICUBIC))
    ours = Bicubic((1, 64, 64), 4)(x)[0, 0].numpy()
    np.testing.assert_allclose(ours[3:-3, 3:-3], pillow[3:-3, 3:-3], atol=1e-5)


def test_bicubic_has_the_published_smallest_singular_value():
    one_dimensional = torch.linalg.svdvals(Bicubic((3, 64, 64), 4).matrices[0])
    assert one_dimensional.min() == pytest.approx(0.35, abs=0.005)


def test_decimation_keeps_the_first_pixel_of_each_block():
    x = normal(2, 3, 8, 12)
    assert torch.equal(Decimate((3, 8, 12), 4)(x), x[..., ::4, ::4])
    blurred = Decimate((3, 8, 12), 2) @ Blur((3, 8, 12), normal(3, 3, seed=2) + 1)
    assert blurred.measured_shape == (3, 4, 6)
    torch.testing.assert_close(blurred(x), blurred.parts[1](x)[..., ::2, ::2])


@pytest.mark.parametrize("cls", [Downsample, Bicubic, Decimate])
def test_a_measurement_says_how_large_the_image_is(cls):
    operator = cls((3, 12, 18), 3)
    assert isinstance(operator, Separable)
    assert cls.image_shape(operator.measured_shape, factor=3) == operator.shape
    assert cls.image_shape((3, 5, 6)) == (3, 20, 24)
    rows, columns = operator.matrices
    torch.testing.assert_close(dense(operator), torch.kron(torch.eye(3).double(), torch.kron(rows, columns)))
    with pytest.raises(ValueError, match="factor is 5: give a divisor of both sides of 12 x 18"):
        cls((3, 12, 18), 5)

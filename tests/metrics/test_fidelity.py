import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from posteriori.images.files import load_image
from posteriori.metrics import lpips, psnr, ssim

METRICS = [psnr, ssim, lpips]
IDENTITY = {psnr: math.inf, ssim: 1.0, lpips: 0.0}


@pytest.fixture(scope="module")
def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Three photographs and noisy copies of growing distance, (3, 3, 64, 64) on [-1, 1]."""
    a = torch.cat([load_image(name, 64) for name in ("astronaut", "chelsea", "coffee")])
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(0))
    return a, (a + torch.tensor([0.05, 0.2, 0.6]).view(3, 1, 1, 1) * noise).clamp(-1, 1)


def reference_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, eq. 13, channel by channel on [0, 1]; scipy's window cut to 11 x 11 as theirs."""

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, radius=5)[5:-5, 5:-5]

    values = []
    for x, y in zip((a.astype(float) + 1) / 2, (b.astype(float) + 1) / 2, strict=True):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize("offset", [0.5, 0.02])
def test_psnr_closed_form(offset):
    a = torch.full((1, 3, 8, 8), -0.25)
    assert psnr(a, a + offset).item() == pytest.approx(20 * math.log10(2 / offset), abs=1e-4)


def test_psnr_within_a_mask_does_not_see_the_rest():
    a, within = torch.zeros(1, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.bool)
    within[:, 2:5, 1:4] = True
    b = (a + 0.5).where(within, 0.9)
    assert psnr(a, b, within).item() == pytest.approx(20 * math.log10(2 / 0.5), abs=1e-4)


def test_ssim_is_that_of_wang_on_images_whose_black_is_zero(images):
    expected = [reference_ssim(x.numpy(), y.numpy()) for x, y in zip(*images, strict=True)]
    assert ssim(*images).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_identity(metric, images):
    assert metric(images[0], images[0].clone()).tolist() == pytest.approx([IDENTITY[metric]] * 3, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_each_row_is_its_own(metric, images):
    a, b = images
    alone = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    assert alone.shape == (3,)
    torch.testing.assert_close(metric(a, b), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_clamps_and_takes_any_float_and_gives_no_gradient(metric, images):
    a, b = images
    far = b + 3 * (b >= 1) - 3 * (b <= -1)
    assert torch.equal(metric(a, far), metric(a, b))
    assert torch.equal(metric(far, a), metric(b, a))
    torch.testing.assert_close(metric(a.double(), b.double()), metric(a, b))
    assert not metric(a.clone().requires_grad_(), b).requires_grad


GOOD = torch.zeros(2, 3, 32, 32)
BAD = [
    (GOOD[0], GOOD[0]),
    (GOOD, GOOD[:1]),
    (GOOD[:, :1], GOOD[:, :1]),
    (GOOD[:0], GOOD[:0]),
    (GOOD.byte(), GOOD.byte()),
    (GOOD[..., :0], GOOD[..., :0]),
]


@pytest.mark.parametrize(("metric", "bad"), list(product(METRICS, BAD)))
def test_refuses_other_shapes(metric, bad):
    with pytest.raises(ValueError, match=r"got \(.*give two floating-point tensors"):
        metric(*bad)


@pytest.mark.parametrize(("metric", "least"), [(psnr, 1), (ssim, 11), (lpips, 31)])
def test_smallest_size(metric, least):
    a = torch.rand(1, 3, least, least) * 2 - 1
    assert metric(a, -a).isfinite().all()
    if least > 1:
        with pytest.raises(ValueError, match=f"{least} pixels a side"):
            metric(a[..., 1:], a[..., 1:])

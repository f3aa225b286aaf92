"""Long or GPU checks, run by `make bench`."""

import pytest
import torch

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import GaussianBlur
from posteriori.samplers import DPS
from posteriori.settings.presets import preset

pytestmark = pytest.mark.slow


def _restored(device: str, dtype: str, steps: int):
    prior = load_prior("faces-64", device=device, dtype=dtype)
    blur = GaussianBlur(prior.shape, sigma=1.5)
    y = Gaussian.simulate(load_image("astronaut", size=64), blur, 0.05).y
    sampler = preset(DPS, blur, prior, steps=250, sigma=0.05).with_steps(steps)
    return sample(prior, Gaussian(y, blur, 0.05), sampler, progress=False).cpu()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_a_cpu_gives():
    """The draws are the CPU's; a few steps, before rounding differences have grown."""
    assert torch.allclose(_restored("cuda", "float32", 5), _restored("cpu", "float32", 5), atol=5e-3)


def test_bfloat16_restores_what_float32_restores():
    low, full = (_restored("cpu", dtype, 250) for dtype in ("bfloat16", "float32"))
    # two samples of one posterior lie much further apart than the same sample in two precisions
    assert (low - full).square().mean().sqrt() < 0.05

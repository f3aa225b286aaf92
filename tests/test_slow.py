"""Long or GPU checks, run by `make bench`."""

import pytest
import torch

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.metrics import lpips, psnr
from posteriori.operators import BoxMask, GaussianBlur
from posteriori.samplers import DDNM, DDRM, DPS, MMPS, TMPD, AnnealedLangevin, DiffPIR, PiGDM, RePaint, SDEdit
from posteriori.settings.presets import preset
from posteriori.studies.guide.heldout import held_out_faces

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


@pytest.mark.parametrize("task", [BoxMask, GaussianBlur], ids=["inpainting", "deconvolution"])
@pytest.mark.parametrize("cls", [AnnealedLangevin, DDNM, DDRM, DiffPIR, MMPS, PiGDM, RePaint, SDEdit, TMPD])
def test_bfloat16_costs_no_quality(cls, task, shared):
    """Of two faces in a few steps. DPS and ScoreALD amplify rounding in so few, and give another sample of as good."""
    priors = [load_prior("faces-64", dtype=dtype) for dtype in ("bfloat16", "float32")]
    A = task(priors[0].shape)
    x = held_out_faces(shared / "data", slice(32, 34), 64)
    like = Gaussian.simulate(x, A, 0.05)
    sampler = cls().with_steps(10)
    low, full = (sample(prior, like, sampler, progress=False)[:, 0] for prior in priors)
    assert (psnr(low, x) - psnr(full, x)).mean() > -0.05
    assert (lpips(low, x) - lpips(full, x)).mean() < 0.002

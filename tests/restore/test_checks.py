import math

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from posteriori.hub.folder import load_folder, record_shift, save_folder
from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian, GaussianNoise
from posteriori.loop import sample
from posteriori.operators import JPEG, BoxMask, GaussianBlur, Identity
from posteriori.priors.mixture import GaussianMixture
from posteriori.priors.unet import PixelUNet
from posteriori.restore.checks import (
    AT_COARSE,
    COARSE,
    MARGIN,
    SIGMA,
    check_prior,
    check_residual,
    denoiser_shift,
    of_rows,
    warnings,
)
from posteriori.samplers import DiffPIR
from posteriori.schedule import linear_betas
from posteriori.training.config import TrainConfig

SHAPE = (3, 16, 16)


@pytest.mark.parametrize("v", [0.0009, 0.04])
def test_the_shift_of_a_gaussian_prior_is_known(v):
    d = math.prod(SHAPE)
    prior = GaussianMixture(torch.zeros(1, *SHAPE), v * torch.eye(d)[None])
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    for sigma in (SIGMA, COARSE):
        gain = v / (v + sigma**2)
        expected = (1 - gain) * x.flatten(1).square().mean(1).sqrt() / sigma
        torch.testing.assert_close(denoiser_shift(prior, x, sigma), expected, rtol=1e-4, atol=0)
    found, second = check_prior(prior, x), of_rows(check_prior(prior, x), slice(1, 2))
    assert (second["samples"], second[AT_COARSE]) == (found["samples"][1:2], found[AT_COARSE][1:2])
    assert check_prior(prior, x)["95% of held-out pictures"] is None


@pytest.mark.parametrize("operator", [Identity(SHAPE), BoxMask(SHAPE, size=6), GaussianBlur(SHAPE, sigma=1.0)])
def test_the_residual_of_the_truth_is_one_and_without_noise_it_is_the_rms(operator):
    truth = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y = Gaussian.simulate(truth, operator, 0.05, seed=1).y
    found = check_residual(operator, y, truth, GaussianNoise(0.05))
    low, high = found["95% of true images"]
    assert low < found["samples"][0] < high
    exact = check_residual(operator, operator(truth), truth + 0.01, GaussianNoise(0.0))
    assert exact["samples"][0] == pytest.approx(0.01, rel=1e-3)
    assert exact["95% of true images"] is None


def test_what_rounds_is_explained_by_images_near_the_edges_of_its_cells():
    truth = load_image("coffee")[..., 100:164, 200:264]
    operator = JPEG((3, 64, 64), quality=30)
    y, shift = operator(truth), checks([], [0.4])[1]
    near = truth + 0.02 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    for x, right in ((truth, True), (near, True), (truth.roll(1, -1), False), (y + 0.1, False)):
        found = check_residual(operator, y, x, GaussianNoise(0.0))
        assert (warnings(found, shift, 0.0, simulated=False) == []) is right
    assert check_residual(operator, y, near, GaussianNoise(0.0))["samples"][0] > 0.01


def checks(residual, shift, known=(0.3, 0.5), coarse=0.3):
    shifts = {"samples": shift, AT_COARSE: [coarse] * len(shift), "95% of held-out pictures": known}
    return {"samples": residual, "at most": 0.01}, shifts


@pytest.mark.parametrize(
    ("residual", "shift", "sigma", "simulated", "said"),
    [
        ([1.0], [0.4], 0.05, False, []),
        ([0.6, 1.2], [0.3, 0.6], 0.05, False, []),
        ([8.9], [0.4], 0.005, False, ["residual 8.9: the noise is larger than --noise says, about 0.045, or "]),
        ([0.3], [0.4], 0.2, False, ["residual 0.3: the noise is smaller than --noise says, about 0.06, or "]),
        ([8.9], [0.4], 0.005, True, ["residual 8.9: the picture does not explain the measurement: try "]),
        ([0.004], [0.4], 0.0, False, []),
        ([0.05], [0.4], 0.0, False, ["residual 0.05: the noise is larger than --noise says, about 0.05, or "]),
        ([1.0], [0.94], 0.05, False, ["shift 0.94, above the 0.30 to 0.50 of pictures that the prior knows: noise "]),
        ([2.0], [0.94], 0.05, True, ["residual 2: the picture does not", "shift 0.94, above "]),
    ],
)
def test_what_looks_wrong_is_said(residual, shift, sigma, simulated, said):
    found = warnings(*checks(residual, shift), sigma, simulated=simulated)
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_false_structure_of_high_contrast_is_said():
    (line,) = warnings(*checks([1.0], [0.4], coarse=0.88), 0.05, simulated=False)
    assert line.startswith("shift 0.88 at sigma 0.5, where pictures have at most 0.5: the sampler made structure")
    assert warnings(*checks([1.0], [0.4], coarse=0.5), 0.05, simulated=False) == []
    assert warnings(*checks([1.0], [0.4], known=None, coarse=0.88), 0.05, simulated=False) == []


def test_waves_that_a_sampler_made_of_noise_are_found():
    x = load_image("chelsea")[..., 60:124, 150:214]
    prior = load_prior("photo", dtype="float32").at(64)
    operator = GaussianBlur(prior.shape, sigma=1.5)
    like = Gaussian.simulate(x, operator, 0.05)
    for sampler, right in ((DiffPIR(steps=30), False), (DiffPIR(steps=30, lambda_=1.0, zeta=1.0), True)):
        z = sample(prior, like, sampler, progress=False)[:, 0]
        found = check_residual(operator, like.y, z, GaussianNoise(0.05)), check_prior(prior, z)
        assert (warnings(*found, 0.05, simulated=True) == []) is right


def test_of_a_prior_that_nobody_measured_nothing_is_said():
    residual, shift = checks([1.0], [0.94], None)
    assert warnings(residual, shift, 0.05, simulated=False) == []
    assert warnings(*checks([1.0], [0.99 * MARGIN * 0.5]), 0.05, simulated=False) == []
    assert warnings(*checks([1.0], [1.01 * MARGIN * 0.5]), 0.05, simulated=False)


def test_a_folder_keeps_its_range_and_tiles_have_it_too(tmp_path):
    torch.manual_seed(0)
    config = TrainConfig(size=32, channels=(8, 16), norm_groups=8, attention=False)
    net = PixelUNet(UNet2DModel(**config.unet_config()), config.patch)
    path = tmp_path / "mine"
    save_folder(path, net, linear_betas(), prediction="epsilon", size=32, name="mine", licence="none")
    assert load_folder(path).shift is None
    record_shift(path, (0.3214, 0.5))
    found = load_folder(path)
    assert found.shift == found.at((24, 33)).shift == (0.321, 0.5)
    assert (found.name, found.shape) == ("mine", (3, 32, 32))

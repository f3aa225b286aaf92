import math

import pytest
import torch
from tests.cli.conftest import random_prior

from posteriori.images.files import to_tensor
from posteriori.likelihoods import Gaussian
from posteriori.metrics import psnr
from posteriori.operators import BoxMask, GaussianBlur
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import DPS
from posteriori.schedule import Level
from posteriori.settings.text import parse_sampler
from posteriori.studies.demo import run_demo
from posteriori.studies.engine.campaign import Campaign
from posteriori.studies.engine.execute import Loader
from posteriori.studies.engine.plan import Pictures, Run
from posteriori.studies.engine.work import compute
from posteriori.studies.report.plan import single_pass
from posteriori.studies.tasks import SIGMA_Y, tasks

SHAPE = (3, 32, 32)


def white(std: float = 0.3) -> GaussianMixture:
    """Independent pixels: every posterior is known pixel by pixel."""
    d = math.prod(SHAPE)
    return GaussianMixture(torch.zeros(1, *SHAPE), std**2 * torch.eye(d)[None])


def test_the_tasks_are_the_reports_at_256_and_shrink_with_the_side():
    box, blur = (task.operator for task in tasks((3, 256, 256)))
    assert box == BoxMask((3, 256, 256), size=50, top=103, left=103)
    assert blur == GaussianBlur((3, 256, 256), sigma=3.0, size=61)
    box, blur = (task.operator for task in tasks((3, 64, 64)))
    assert isinstance(box, BoxMask)
    assert box.size == 13  # 12.5, rounded up
    assert blur == GaussianBlur((3, 64, 64), sigma=1.5, size=61)


def test_every_method_starts_from_the_same_measurement(tmp_path):
    prior = str(random_prior(tmp_path / "tiny", attention=False))
    truth = Pictures(("noise",), 0.3 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0)))
    said = []

    def demonstrated(out: str):
        campaign = Campaign(tmp_path / out, Loader(prior), batch=1, quiet=True, say=said.append)
        return run_demo(campaign, truth, steps=4, seed=3)

    demo = demonstrated("once")
    for result in demo.tasks:
        y = Gaussian.simulate(truth.x, result.task.operator, SIGMA_Y, seed=3).y
        assert [row.method for row in result.rows] == ["measurement", "sdedit", "scoreald", "dps"]
        assert torch.allclose(result.pictures[0], y.clamp(-1, 1), atol=0.5 / 127.5 + 1e-6)
        assert result.rows[0].psnr == pytest.approx(float(psnr(y, truth.x)))
        for row, picture in zip(result.rows, result.pictures, strict=True):
            assert row.psnr == pytest.approx(float(psnr(picture, truth.x)), abs=0.02)  # a picture is rounded
    recorded = demo.settings["inpainting/dps"]
    assert parse_sampler(recorded["sampler"]) == DPS(scale=32 / 256 * 1000 / 4, steps=4)
    assert recorded["sources"] == {"scale": "the paper's value times 32/256 px times 1000/4 steps"}
    assert any("no preset of dps" in line for line in said)
    again = demonstrated("again")
    assert [(r.psnr, r.lpips, r.nfe) for r in again.rows] == [(r.psnr, r.lpips, r.nfe) for r in demo.rows]


def test_single_pass_denoising_is_the_wiener_filter_of_white_pixels():
    prior, truth = white(std=0.3), 0.3 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    run = single_pass(Run(("white", ""), SHAPE, "", "", 0.0, (("noise", ""),), (0,), 1))
    found = compute(run, run.rows, prior, truth, lambda calls: None)
    t: Level = prior.schedule.level(100)
    gain = t.alpha * 0.09 / (t.alpha**2 * 0.09 + t.sigma**2)
    x_t, x0 = (to_tensor(pixels[0]) for pixels in found.pictures["path"][0])
    inside = x_t.abs() < 1
    assert torch.allclose(x0[inside], gain * x_t[inside], atol=1 / 127.5)
    expected = 10 * math.log10(4 / (0.09 * t.sigma**2 / (t.alpha**2 * 0.09 + t.sigma**2)))
    assert found.metrics["psnr"][0] == pytest.approx(expected, abs=0.3)  # 3,072 pixels: 2.5% of the error, 0.1 dB
    assert found.calls == 1

import math

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.operators import BoxMask, GaussianBlur
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import DPS
from posteriori.schedule import Level
from posteriori.settings.text import parse_sampler
from posteriori.studies.demo import run_demo, single_pass
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


def test_every_method_starts_from_the_same_measurement():
    prior, truth = white(), 0.3 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0))
    said = []
    demo = run_demo(prior, truth, steps=4, seed=3, progress=False, say=said.append)
    for result in demo.tasks:
        again = Gaussian.simulate(truth, result.task.operator, SIGMA_Y, seed=3).y
        assert torch.equal(result.y, again)
        assert [row.method for row in result.rows] == ["measurement", "sdedit", "scoreald", "dps"]
        assert torch.equal(result.pictures[0], result.y)
    recorded = demo.settings["inpainting/dps"]
    assert parse_sampler(recorded["sampler"]) == DPS(scale=32 / 256 * 1000 / 4, steps=4)
    assert recorded["sources"] == {"scale": "the paper's value times 32/256 px times 1000/4 steps"}
    assert any("no preset of dps" in line for line in said)
    again = run_demo(prior, truth, steps=4, seed=3, progress=False)
    assert [(r.psnr, r.lpips, r.nfe) for r in again.rows] == [(r.psnr, r.lpips, r.nfe) for r in demo.rows]


def test_single_pass_denoising_is_the_wiener_filter_of_white_pixels():
    prior, truth = white(std=0.3), 0.3 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1))
    x_t, x0, row = single_pass(prior, truth, seed=0)
    t: Level = prior.schedule.level(100)
    gain = t.alpha * 0.09 / (t.alpha**2 * 0.09 + t.sigma**2)
    assert torch.allclose(x0, gain * x_t, atol=1e-6)
    expected = 10 * math.log10(4 / (0.09 * t.sigma**2 / (t.alpha**2 * 0.09 + t.sigma**2)))
    assert row.psnr == pytest.approx(expected, abs=0.3)  # 3,072 pixels: 2.5% of the error, 0.1 dB
    assert row.nfe == 1

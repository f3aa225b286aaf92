"""The studies behind docs/, in a small form: on pictures drawn here, with few steps."""

import tomllib

import numpy as np
import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.metrics import psnr
from posteriori.operators import BoxMask, Downsample, GaussianBlur, Identity
from posteriori.settings import choosing
from posteriori.settings.text import parse_operator, parse_sampler
from posteriori.studies.guide import cells
from posteriori.studies.guide.cells import Cell, measure, network, write_choices

BLUR, DDRM = "gaussian-blur(sigma=1.5)", "ddrm(steps=3, eta=0.85)"


def drawn(prior, data, rows, size):
    """Smooth pictures with an edge."""
    at = torch.linspace(-1, 1, size)
    wave = torch.sin(3 * at)[:, None] * torch.cos(2 * at)
    pictures = [torch.stack([wave * a, (wave + at) / 2, (at > a).float().expand(size, size) - 0.5]) for a in (0.3, 0.6)]
    return torch.stack(pictures)[rows]


@pytest.fixture
def cell(monkeypatch):
    monkeypatch.setattr(cells, "held_out", drawn)
    return Cell(BLUR, DDRM, (0, 2), n=2, sigma=0.1)


def test_a_cell_has_the_metrics_of_its_samples(cell, tmp_path):
    found = measure(cell, tmp_path)
    prior, truth = network("faces-64", 64), drawn("", None, slice(0, 2), 64)
    like = Gaussian.simulate(truth, parse_operator(BLUR, prior.shape), 0.1)
    x = sample(prior, like, parse_sampler(DDRM), n=2, progress=False)
    np.testing.assert_allclose(found["psnr"][1], psnr(x[1], truth[[1, 1]]).numpy(), atol=1e-3)
    np.testing.assert_allclose(found["psnr_mean"], psnr(x.mean(1), truth).numpy(), atol=1e-3)
    residual = (like.y[0] - like.operator(x[0])).square().mean((1, 2, 3)).sqrt() / 0.1
    np.testing.assert_allclose(found["residual"][0], residual.numpy(), rtol=1e-4)
    assert (found["calls"], found["vjps"]) == (3, 0)


def test_a_cell_that_diverges_has_its_cost_alone(cell, tmp_path, monkeypatch):
    def diverged(*_, **__):
        raise FloatingPointError

    monkeypatch.setattr(cells, "sample", diverged)
    assert measure(cell, tmp_path).keys() == {"calls", "vjps", "seconds"}


def test_choices_of_what_was_not_measured_stay(tmp_path, monkeypatch):
    def choice(goal, prior, operator, steps):
        return choosing.Choice(goal, prior, operator, 0.05, DDRM, steps, 'said "so"')

    goals, problems = (
        ("fidelity", "estimate", "looks"),
        (("photo", "identity"), ("photo", "jpeg"), ("mine", "identity")),
    )
    there = [choice(goal, *problem, 1) for goal in goals for problem in problems]
    monkeypatch.setattr(choosing, "choices", lambda: there)
    own = choice("fidelity", "photo", "identity", 3)
    write_choices([own], tmp_path)
    written = tomllib.loads((tmp_path / "choosing.toml").read_text("utf-8"))["choice"]
    found = [choosing.Choice(**entry) for entry in written]
    replaced = (there[0], there[3])  # its fidelity, and the estimate beside it
    assert found == [own, *(each for each in there if each not in replaced)]


def metrics(psnr, calls, residual=1.0, lpips=0.1):
    return {
        "psnr": np.array([[psnr]]),
        "lpips": np.array([[lpips]]),
        "calls": calls,
        "residual": np.array([[residual]]),
    }


def test_the_fastest_of_those_that_are_near_the_best_is_chosen():
    pytest.importorskip("cv2", reason="the extra bench is not installed")
    from posteriori.studies.guide.choosing import best, pick

    found = {
        ("slow", 100): metrics(30.0, 100, lpips=0.100),
        ("near", 30): metrics(29.95, 30, residual=0.6, lpips=0.2),
        ("nearer", 30): metrics(29.92, 30, residual=0.9, lpips=0.104),
        ("far", 10): metrics(29.8, 10, lpips=0.3),
        ("diverged", 10): {"calls": 10},
    }
    assert best(found) == ("slow", 100)
    assert pick("fidelity", found) == ("nearer", 30)
    assert pick("looks", found) == ("nearer", 30)


@pytest.mark.parametrize(
    ("operator", "gain"),
    [
        (Identity((3, 64, 64)), 3.0),
        (GaussianBlur((3, 64, 64), sigma=1.5), 1.0),
        (Downsample((3, 64, 64), factor=2), 1.0),
        (BoxMask((3, 64, 64), size=12), 5.0),
    ],
    ids=lambda own: getattr(own, "name", ""),
)
def test_a_tuned_classical_method_restores(operator, gain):
    pytest.importorskip("cv2", reason="the extra bench is not installed")
    pytest.importorskip("skimage", reason="the extra bench is not installed")
    from posteriori.studies.guide.classical import classical

    truth = drawn("", None, slice(0, 1), 64)
    like = Gaussian.simulate(truth, operator, 0.2)
    y = torch.nn.functional.interpolate(like.y, (64, 64), mode="bicubic")
    assert classical(operator, like.y, truth, 0.2)[0] > psnr(y, truth).item() + gain


def test_what_was_measured_is_not_measured_again(cell, tmp_path, monkeypatch):
    cells.do([cell], tmp_path, tmp_path, 1)
    first = cells.read(cell, tmp_path)
    monkeypatch.setattr(cells, "measure", None)
    cells.do([cell], tmp_path, tmp_path, 1)
    assert first is not None
    assert first["psnr"].shape == (2, 2)

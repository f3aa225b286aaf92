"""What is written for a measurement that is no picture."""

import pytest
import torch
from tests.helpers import IMAGE, image_mixture

from posteriori.images.files import load_image
from posteriori.likelihoods import GaussianNoise
from posteriori.operators import CT, MRI, Gamma, Identity, PhaseRetrieval
from posteriori.restore.entry import Case, write_entry
from posteriori.restore.inputs import Loaded, Source


def case(operator, *, simulated):
    prior = image_mixture()
    truth = prior.draw(1).float().clamp(-1, 1)
    y = operator(truth)
    x = truth if simulated else y
    loaded = Loaded(x, (0, 0, x.shape[-2], x.shape[-1]), (x.shape[-2], x.shape[-1]), {"kind": "array"})
    return Case(
        Source("y.npy", "y"), loaded, prior, operator, None, GaussianNoise(0.05), y, truth if simulated else None
    ), truth


@pytest.mark.parametrize("operator", [MRI(IMAGE), CT(IMAGE, views=40)], ids=lambda operator: operator.name)
@pytest.mark.parametrize("simulated", [True, False])
def test_it_is_drawn_and_never_scored(tmp_path, operator, simulated):
    own, truth = case(operator, simulated=simulated)
    found = write_entry(tmp_path, own, truth)
    _, drawing = operator.drawing(own.y)
    drawn = load_image(str(tmp_path / "measurement.png"))
    assert drawn.shape == drawing.shape
    assert (drawn - drawing.clamp(-1, 1)).abs().max() < 1 / 127
    assert load_image(str(tmp_path / "restored.png")).shape == (1, *IMAGE), "it is whole, however wide y is"
    assert (tmp_path / "comparison.png").exists()
    if simulated:
        assert found["metrics"]["measurement"] is None


def test_a_picture_is_scored(tmp_path):
    own, truth = case(Identity(IMAGE), simulated=True)
    assert write_entry(tmp_path, own, truth + torch.zeros(()))["metrics"]["measurement"]["psnr"] is not None


@pytest.mark.parametrize("simulated", [True, False])
def test_of_an_ambiguous_operator_the_best_by_residual_is_the_result(tmp_path, simulated):
    own, truth = case(PhaseRetrieval(IMAGE), simulated=simulated)
    x = torch.cat([-truth, truth, truth.flip((-2, -1)), 0 * truth])
    found = write_entry(tmp_path, own, x)
    residuals = found["residual"]["samples"]
    assert residuals[1] == min(residuals)
    assert found["best"] == {"sample": 2, "by": "residual", "share that explains y": 0.5}
    assert (tmp_path / "restored.png").read_bytes() == (tmp_path / "sample-02.png").read_bytes()
    assert not list(tmp_path.glob("mean.png")) + list(tmp_path.glob("std.*")), "which would be of none of them"
    assert write_entry(tmp_path, own, 0 * x)["warnings"][-1].startswith(
        "none of 4 samples explains the measurement as well"
    )
    if simulated:
        assert found["metrics"]["best"] == found["metrics"]["samples"][1]
        assert "mean" not in found["metrics"]


def test_one_sample_of_it_is_the_result(tmp_path):
    own, truth = case(PhaseRetrieval(IMAGE), simulated=True)
    assert "best" not in write_entry(tmp_path, own, truth)
    assert (tmp_path / "restored.png").exists()


def test_a_composition_is_ambiguous_where_a_part_is():
    assert (PhaseRetrieval(IMAGE) @ Gamma(IMAGE)).ambiguous
    assert not (Gamma(IMAGE) @ Gamma(IMAGE)).ambiguous

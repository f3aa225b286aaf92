import json
import re

import numpy as np
import pytest
from PIL import Image

from posteriori.images.files import load_image
from posteriori.metrics import t_quantile

BOX = ("--operator", "box-mask(size=8)")


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_intervals_are_mapped_and_their_coverage_counted(restore, face, tmp_path):
    command = [face, "--simulate", *BOX, "--samples", 4, "--interval", 0.2]
    answer = restore(*command, "--out", tmp_path / "a")
    assert answer.code == 0
    entry = tmp_path / "a/face"
    low, high = np.load(entry / "interval.npy")
    assert low.shape == (3, 32, 32)
    # mean +- t std sqrt(1 + 1/n) of the samples, where no end is clamped
    std = np.load(entry / "std.npy")
    inside = (low > -1) & (high < 1)
    assert inside.mean() > 0.1
    assert np.allclose((high - low)[inside], 2 * t_quantile(0.2, 4) * std[inside] * np.sqrt(1.25), atol=1e-5)
    truth = load_image(entry / "truth.png")[0].numpy()
    covered = (low <= truth) & (truth <= high)
    hidden = np.load(entry / "measurement.npy") == 0
    assert hidden.sum() == 3 * 8 * 8
    found = manifest(entry)["interval"]
    assert (found["level"], found["widen"]) == (0.2, 1.0)
    assert found["coverage"]["all"] == pytest.approx(covered.mean(), abs=2e-3)  # the truth is rounded in its file
    assert found["coverage"]["hidden"] == pytest.approx(covered[hidden].mean(), abs=0.02)
    for name in ("interval", "interval-low", "interval-high", "outside"):
        Image.open(entry / f"{name}.png").verify()
    assert [re.search(rf"\b{word}\b", answer.out) is not None for word in ("sample", "coverage")] == [True, True]
    row = json.loads((tmp_path / "a/results.json").read_text())[0]
    assert row["coverage"] == found["coverage"]["hidden"]
    scores = [score["psnr"] for score in manifest(entry)["metrics"]["samples"]]
    assert row["psnr_of_a_sample"] == pytest.approx(np.mean(scores))
    # wider ones are another result, with the same samples
    again = restore(*command, "--widen", 2, "--out", tmp_path / "a")
    assert again.code == 1
    assert "made with other settings (interval" in again.err
    assert restore(*command, "--widen", 2, "--out", tmp_path / "b").code == 0
    wide = manifest(tmp_path / "b/face")["interval"]
    assert wide["coverage"]["all"] > found["coverage"]["all"]
    assert (tmp_path / "b/face/mean.png").read_bytes() == (entry / "mean.png").read_bytes()


def test_without_the_truth_there_is_a_map_but_no_coverage(restore, face, tmp_path):
    assert restore(face, *BOX, "--samples", 2, "--interval", 0.5, "--out", tmp_path).code == 0
    assert "coverage" not in manifest(tmp_path / "face")["interval"]
    assert not (tmp_path / "face/outside.png").exists()
    assert (tmp_path / "face/interval.png").is_file()


def test_more_samples_than_a_call_holds_are_the_same_samples(restore, face, tmp_path):
    command = [face, "--simulate", *BOX, "--samples", 5]
    assert restore(*command, "--out", tmp_path / "a").code == 0
    assert restore(*command, "--batch", 2, "--out", tmp_path / "b").code == 0
    together, split = manifest(tmp_path / "a/face"), manifest(tmp_path / "b/face")
    assert (together["network_calls"], together["rows_per_call"]) == (2, 5)
    assert (split["network_calls"], split["rows_per_call"]) == (6, 2)
    for i in range(1, 6):
        a, b = (load_image(tmp_path / name / f"face/sample-{i:02d}.png") for name in "ab")
        assert (a - b).abs().max() <= 2.1 / 127.5  # a network's last digits depend on its batch


def test_particles_stay_together(restore, face, tmp_path):
    command = [face, "--simulate", *BOX, "--samples", 5, "--sampler", "tds", "--batch", 2]
    assert restore(*command, "--out", tmp_path).code == 0
    assert manifest(tmp_path / "face")["rows_per_call"] == 5


def test_the_residual_stands_beside_its_range(restore, face, tmp_path):
    answer = restore(face, "--simulate", *BOX, "--out", tmp_path)
    assert answer.code == 0
    low, high = manifest(tmp_path / "face")["residual"]["95% of true images"]
    m = 3 * (32 * 32 - 8 * 8)
    assert (low, high) == pytest.approx((1 - 1.96 / np.sqrt(2 * m), 1 + 1.96 / np.sqrt(2 * m)), abs=1e-4)
    assert f"residual of 95% of true images: {low:.3f} to {high:.3f}" in answer.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--interval", "0.9"], "--interval needs 2 samples or more, --samples is 1: 8 is a good number"),
        (["--interval", "90", "--samples", "2"], "the level is 90.0: give one between 0 and 1, like 0.9"),
        (["--interval", "0.9", "--samples", "2", "--widen", "0"], "widen is 0.0: give a factor above 0, like 1.5"),
        (["--widen", "2", "--samples", "2"], "--widen is for intervals: give --interval too, like 0.9"),
    ],
)
def test_what_has_no_interval_is_refused_before_any_work(restore, face, tmp_path, options, message):
    answer = restore(face, *BOX, *options, "--out", tmp_path / "out")
    assert answer.code != 0
    assert message in " ".join(re.sub("[│╭╮╰╯─]", "", answer.err).split())
    assert not (tmp_path / "out").exists()

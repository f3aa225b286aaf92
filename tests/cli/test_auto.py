"""Commands that are told nothing of the noise."""

import json

import pytest
import torch
import torch.nn.functional as F

from posteriori.images.files import load_image, save_image


def noisy(path, sigma, *, smoothed=False, size=96):
    """A bundled picture with noise, white or as a camera leaves it, in a file."""
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    if smoothed:
        noise = 3 * F.avg_pool2d(F.pad(noise[:, :1], (1, 1, 1, 1), mode="reflect"), 3, 1).expand_as(noise)
    save_image(load_image("coffee", size=size) + sigma * noise, path)
    return path


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.parametrize("said", [[], ["--noise", "auto"]])
def test_denoise_finds_white_noise(posteriori, any_size_prior, tmp_path, said):
    file = noisy(tmp_path / "white.png", 0.2)
    assert posteriori("denoise", file, "--prior", any_size_prior, *said, "--out", tmp_path).code == 0
    found = manifest(tmp_path / "white")
    assert found["settings"]["noise"]["sigma"] == pytest.approx(0.2, rel=0.1)
    assert found["network_calls"] == 1


def test_a_cameras_noise_is_removed_at_two_scales(posteriori, any_size_prior, tmp_path):
    file = noisy(tmp_path / "camera.png", 0.1, smoothed=True)
    answer = posteriori("denoise", file, "--prior", any_size_prior, "--out", tmp_path)
    assert answer.code == 0
    assert "half the resolution, then the whole: the noise is a camera's" in answer.err
    found = manifest(tmp_path / "camera")
    assert (found["network_calls"], found["settings"]["scales"]) == (2, [2, 1])


def test_each_picture_has_its_own_noise_and_one_that_fails_stops_none(posteriori, any_size_prior, tmp_path):
    (tmp_path / "in").mkdir()
    for name, sigma in (("a", 0.1), ("c", 0.2)):
        noisy(tmp_path / f"in/{name}.png", sigma)
    (tmp_path / "in/b.png").write_bytes(b"no picture")
    save_image(load_image("coffee", size=24), tmp_path / "in/d.png")
    command = ["denoise", tmp_path / "in", "--prior", any_size_prior, "--out", tmp_path / "out"]
    answer = posteriori(*command)
    assert answer.code == 1
    assert "b.png is not a picture" in answer.err
    assert "d.png has 24 x 24 pixels, and noise can be told from 32 a side" in answer.err
    found = {name: manifest(tmp_path / "out" / name)["settings"]["noise"]["sigma"] for name in "ac"}
    assert found == {"a": pytest.approx(0.1, rel=0.1), "c": pytest.approx(0.2, rel=0.1)}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert posteriori(*command).code == 1
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}

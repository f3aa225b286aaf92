"""Where memory runs out: half as many images at once, said in one line, and the same pictures."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from posteriori.images.files import load_image, save_image
from posteriori.priors.unet import UNetPrior

BLUR = "gaussian-blur(sigma=1.0)"


def short_of_memory(monkeypatch, most, error=torch.OutOfMemoryError):
    """The network takes ``most`` images at once. The sizes of its calls, as they come."""
    denoise, sizes = UNetPrior.denoise, []

    def limited(self, x_t, t):
        if x_t.device.type == "meta":  # where memory is counted and none is taken
            return denoise(self, x_t, t)
        sizes.append(len(x_t))
        if len(x_t) > most:
            raise error("out of memory")
        return denoise(self, x_t, t)

    monkeypatch.setattr(UNetPrior, "denoise", limited)
    return sizes


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for name in ("astronaut", "chelsea", "coffee"):
        save_image(load_image(name, size=32), folder / f"{name}.png")
    return folder


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_restore_goes_on_with_half(restore, faces, tmp_path, monkeypatch, error):
    command = [faces, "--simulate", "--operator", BLUR, "--sampler", "dps", "--samples", 2, "--batch", 4]
    command += ["--dtype", "float32"]
    assert restore(*command, "--out", tmp_path / "whole").code == 0
    sizes = short_of_memory(monkeypatch, 1, error)
    answer = restore(*command, "--out", tmp_path / "halved")
    assert answer.code == 0
    told = [line for line in answer.err.splitlines() if "memory" in line]
    assert told == [
        f"posteriori: out of memory with {rows} images at once: going on with {rows // 2}" for rows in (4, 2)
    ]
    assert [rows for rows in sizes if rows > 1] == [4, 2]  # the batches after it begin with what there is room for
    for name in ("astronaut", "chelsea", "coffee"):
        one, other = (pixels(tmp_path / run / name / "sample-02.png") for run in ("whole", "halved"))
        assert np.abs(one - other).max() <= 1
    made = json.loads((tmp_path / "halved" / "coffee" / "manifest.json").read_text())
    assert made["rows_per_call"] == 1
    assert made["settings"]["batch"] == 4  # what was asked for: the same command finds its results there


def test_the_denoiser_goes_on_with_half(posteriori, tiny_prior, faces, tmp_path, monkeypatch):
    sizes = short_of_memory(monkeypatch, 2)
    command = ["denoise", faces, "--prior", tiny_prior, "--sigma", 0.1, "--batch", 3, "--out", tmp_path]
    answer = posteriori(*command)
    assert answer.code == 0
    assert sizes[:4] == [3, 1, 1, 1]
    assert "out of memory with 3 images at once: going on with 1" in answer.err


def test_sample_goes_on_with_half(posteriori, tiny_prior, tmp_path, monkeypatch):
    command = ["sample", "--prior", tiny_prior, "-n", 3, "--steps", 2, "--dtype", "float32"]
    assert posteriori(*command, "--out", tmp_path / "whole").code == 0
    short_of_memory(monkeypatch, 2)
    answer = posteriori(*command, "--out", tmp_path / "halved")
    assert answer.code == 0
    assert "out of memory with 3 images at once: going on with 1" in answer.err
    one, other = (pixels(tmp_path / run / "sample-003.png") for run in ("whole", "halved"))
    assert np.abs(one - other).max() <= 1


def test_one_image_too_many_is_said(restore, face, tmp_path, monkeypatch):
    short_of_memory(monkeypatch, 0)
    answer = restore(face, "--simulate", "--operator", BLUR, "--sampler", "dps", "--out", tmp_path)
    assert answer.code == 1
    assert "out of memory with one image at once: give fewer --samples" in answer.err


def test_another_error_is_none_of_memory(restore, face, tmp_path, monkeypatch):
    short_of_memory(monkeypatch, 0, RuntimeError)
    answer = restore(face, "--simulate", "--operator", BLUR, "--sampler", "dps", "--out", tmp_path)
    assert answer.code == 1
    assert "a bug" in answer.err

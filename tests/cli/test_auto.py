"""Commands that are told nothing of the noise."""

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter

from posteriori.diagnosis.blind import likeness
from posteriori.images.files import load_image, save_image, to_uint8
from posteriori.operators import MotionBlur


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
    file = noisy(tmp_path / "camera.png", 0.1, smoothed=True, size=200)
    answer = posteriori("denoise", file, "--prior", any_size_prior, "--out", tmp_path)
    assert answer.code == 0
    assert "half the resolution, then the whole: the noise is a camera's" in answer.err
    found = manifest(tmp_path / "camera")
    assert (found["network_calls"], found["settings"]["scales"]) == (2, [2, 1])


def test_grain_that_is_taken_for_texture_is_removed_where_its_level_is_given(posteriori, any_size_prior, tmp_path):
    """At two scales, for white noise of that level would have been found."""
    save_image(load_image("chelsea")[..., :256, 80:336], tmp_path / "fur.png")
    command = ["restore", tmp_path / "fur.png", "--prior", any_size_prior, "--out", tmp_path / "out", "--overwrite"]
    told = posteriori(*command).err
    level = re.search(r"grain of ([0-9.]+/255) is taken for texture: restore --noise \1 removes it", told)[1]
    assert f"texture: restore --noise {level}" in posteriori("denoise", *command[1:]).err
    assert "scales" not in manifest(tmp_path / "out" / "fur")["settings"]
    assert posteriori(*command, "--noise", level).code == 0
    found = manifest(tmp_path / "out" / "fur")["settings"]
    assert found["scales"] == [2, 1]
    assert f"{found['noise']['of 255']:.2g}/255" == level
    assert posteriori(*command, "--noise", "0.5/255").code == 0
    assert "scales" not in manifest(tmp_path / "out" / "fur")["settings"]


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
    assert "d.png has 24 x 24 pixels, too few to estimate its noise (32 a side are needed)" in answer.err
    found = {name: manifest(tmp_path / "out" / name)["settings"]["noise"]["sigma"] for name in "ac"}
    assert found == {"a": pytest.approx(0.1, rel=0.1), "c": pytest.approx(0.2, rel=0.1)}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert posteriori(*command).code == 1
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}


@pytest.mark.parametrize("prior", ["tiny_prior", "any_size_prior"])
def test_restore_finds_the_noise_of_a_blurred_picture(posteriori, request, tmp_path, prior):
    file = noisy(tmp_path / "blurred.png", 0.1, size=64)
    command = ["restore", file, "--prior", request.getfixturevalue(prior), "--operator", "gaussian-blur(sigma=1.0)"]
    command += ["--fit", "crop"] if prior == "tiny_prior" else []
    assert posteriori(*command, "--noise", "auto", "--steps", 2, "--out", tmp_path).code == 0
    assert manifest(tmp_path / "blurred")["settings"]["noise"]["sigma"] == pytest.approx(0.1, rel=0.2)


def test_a_picture_without_noise_is_undone_with_what_jpeg_changed_and_a_hundredth_at_least(
    posteriori, any_size_prior, tmp_path
):
    x = torch.linspace(-0.8, 0.8, 64).expand(1, 3, 64, 64)
    save_image(x, tmp_path / "a.png")
    Image.fromarray(to_uint8(load_image("coffee")[..., 100:164, 200:264])).save(tmp_path / "b.jpg", quality=20)
    command = ["restore", tmp_path / "a.png", tmp_path / "b.jpg", "--prior", any_size_prior, "--noise", "auto"]
    answer = posteriori(*command, "--operator", "gaussian-blur(sigma=1.0)", "--steps", 2, "--out", tmp_path)
    assert answer.code == 0
    a, b = (manifest(tmp_path / name)["settings"]["noise"]["sigma"] for name in "ab")
    assert a == 0.01
    assert b > 0.02


def test_a_dry_run_says_what_is_wrong_in_five_lines_and_stops(posteriori, tmp_path):
    file = noisy(tmp_path / "noisy.png", 0.2)
    answer = posteriori("restore", file, "--dry-run", "--out", tmp_path / "out")
    assert answer.code == 0
    first, *lines = answer.err.splitlines()
    assert first == "noisy"
    assert [line.split()[0] for line in lines] == ["noise", "jpeg", "blur", "lines", "does"]
    assert lines[0].endswith("/255, white")
    assert lines[4].startswith("  does  one network call, for the noise, ")
    assert not (tmp_path / "out").exists()


def test_restore_does_what_it_says_of_a_noisy_picture(posteriori, any_size_prior, tmp_path):
    file = noisy(tmp_path / "noisy.png", 0.2)
    assert posteriori("restore", file, "--prior", any_size_prior, "--out", tmp_path).code == 0
    found = manifest(tmp_path / "noisy")
    assert found["settings"]["operator"] == "identity"
    assert found["settings"]["noise"]["sigma"] == pytest.approx(0.2, rel=0.1)
    assert found["network_calls"] == 1


def test_restore_undoes_a_blur_that_it_finds(posteriori, any_size_prior, tmp_path):
    x = torch.from_numpy(gaussian_filter(load_image("coffee")[..., :200, :200].numpy(), (0, 0, 3, 3)))
    save_image(x, tmp_path / "blurred.png")
    answer = posteriori("restore", tmp_path / "blurred.png", "--prior", any_size_prior, "--steps", 2, "--out", tmp_path)
    assert answer.code == 0
    assert "nine in ten edges are wide" in answer.err
    assert manifest(tmp_path / "blurred")["settings"]["operator"].startswith("gaussian-blur(sigma=2")


def test_restore_undoes_a_jpeg_that_the_operator_made(posteriori, any_size_prior, tmp_path):
    """As it is: a part of it, or with noise that is given, it is denoised."""
    Image.fromarray(to_uint8(load_image("chelsea")[..., :160, 80:240])).save(tmp_path / "a.jpg", quality=20)
    command = ["restore", tmp_path / "a.jpg", "--prior", any_size_prior, "--out", tmp_path, "--overwrite"]
    answer = posteriori(*command)
    assert answer.code == 0
    assert "does  jpeg(quality=20) undone, for what JPEG changed, " in answer.err
    found = manifest(tmp_path / "a")["settings"]
    assert (found["operator"], found["noise"]["sigma"]) == ("jpeg(quality=20)", 0)
    assert found["sampler"].startswith("dpir(")
    for part in (["--region", "3,5,64,64"], ["--noise", 0.1]):
        assert posteriori(*command, *part).code == 0
        found = manifest(tmp_path / "a")["settings"]
        assert found["operator"] == "identity"
        assert found["noise"]["sigma"] > 0


def test_scratches_are_proposed_as_a_mask(posteriori, tmp_path):
    x = torch.linspace(-0.8, 0, 200).expand(1, 3, 200, 200).clone()
    x[..., 20:180, 100:102] = 1.0
    save_image(x, tmp_path / "old.png")
    answer = posteriori("restore", tmp_path / "old.png", "--dry-run", "--out", tmp_path / "out")
    assert "scratches or part of the picture: see" in answer.err
    mask = load_image(tmp_path / "out/old-scratches.png")[0, 0] > 0
    assert mask[20:180, 100:102].all()
    assert mask.sum() == 162 * 4  # and a pixel around


def test_sure_scratches_are_filled_and_all_else_is_kept(posteriori, any_size_prior, tmp_path):
    x = torch.linspace(-0.8, 0, 200).expand(1, 3, 200, 200).clone()
    for column in (40, 100, 160):
        x[..., 20:180, column : column + 2] = 1.0
    save_image(x, tmp_path / "old.png")
    answer = posteriori("restore", tmp_path / "old.png", "--prior", any_size_prior, "--steps", 2, "--out", tmp_path)
    assert answer.code == 0
    assert "the scratches filled, and everything else kept to the last bit" in answer.err
    mask, given, found = (
        load_image(tmp_path / name)[0] for name in ("old-scratches.png", "old.png", "old/restored.png")
    )
    assert (mask[0] > 0).sum() == 3 * 162 * 4
    assert (found == given)[mask < 0].all()
    assert (found == given)[mask > 0].float().mean() < 0.1
    assert manifest(tmp_path / "old")["settings"]["mask"]["file"] == "old-scratches.png"


def test_what_jpeg_changed_is_removed_as_noise(posteriori, any_size_prior, tmp_path):
    Image.fromarray(to_uint8(load_image("coffee")[..., :200, :200])).save(
        tmp_path / "small.jpg", quality=15, subsampling=0
    )
    answer = posteriori("restore", tmp_path / "small.jpg", "--prior", any_size_prior, "--out", tmp_path)
    assert answer.code == 0
    assert "quality 15, which changed pixels by " in answer.err
    assert "one network call, for what JPEG changed" in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--simulate"], "say how, by --operator SPEC or --mask FILE"),
        (["--simulate", "--operator", "blur(kernel=auto)"], "say how, by an --operator without auto"),
        (["--operator", "downsample @ blur(kernel=auto)"], "leave out what @ adds"),
        (["--simulate", "--operator", "identity", "--noise", "auto"], "say how, by --noise SIGMA"),
        (["--dry-run", "--operator", "identity"], "leave out --operator and --mask"),
    ],
)
def test_what_cannot_be_found_is_said(posteriori, tmp_path, arguments, message):
    answer = posteriori("restore", noisy(tmp_path / "noisy.png", 0.1), *arguments, "--out", tmp_path)
    assert answer.code == 2
    assert message in " ".join(answer.err.split())


def test_a_kernel_is_found_written_and_undone(posteriori, any_size_prior, tmp_path):
    operator = MotionBlur((3, 128, 120), size=9, seed=0, border="valid")
    save_image(operator(load_image("coffee")[..., :128, :120]), tmp_path / "shaken.png")
    command = ["restore", tmp_path / "shaken.png", "--prior", any_size_prior, "--operator", "blur(kernel=auto:15)"]
    answer = posteriori(*command, "--sampler", "dpir(steps=2)", "--out", tmp_path)
    assert answer.code == 0
    found, drawn = tmp_path / "shaken-kernel.npy", tmp_path / "shaken-kernel.png"
    assert "sure: three windows agree by 0." in answer.err
    assert f"; see {drawn}" in answer.err
    assert likeness(np.load(found), operator.weights) > 0.8
    assert load_image(drawn).shape[-1] >= 256
    said = manifest(tmp_path / "shaken")["settings"]
    assert said["operator"].startswith(f"blur(kernel={found}#")
    assert said["noise"]["sigma"] == 0.03
    assert "already" not in posteriori(*command, "--sampler", "dpir(steps=2)", "--out", tmp_path).err


def test_the_width_of_a_gaussian_is_found(posteriori, any_size_prior, tmp_path):
    x = load_image("chelsea")[..., :150, :160]
    save_image(torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, 2, 2))), tmp_path / "soft.png")
    command = ["restore", tmp_path / "soft.png", "--prior", any_size_prior, "--operator", "gaussian-blur(sigma=auto)"]
    answer = posteriori(*command, "--sampler", "dpir(steps=2)", "--out", tmp_path)
    assert answer.code == 0
    assert "in the picture's quarters" in answer.err
    sigma = re.search(r"sigma=([0-9.]+)", manifest(tmp_path / "soft")["settings"]["operator"])
    assert sigma
    assert float(sigma[1]) == pytest.approx(2, rel=0.2)


def test_a_picture_too_small_for_its_kernel_says_so(posteriori, any_size_prior, tmp_path):
    save_image(load_image("coffee", size=64), tmp_path / "small.png")
    command = ["restore", tmp_path / "small.png", "--prior", any_size_prior, "--operator", "blur(kernel=auto)"]
    answer = posteriori(*command, "--out", tmp_path)
    assert answer.code == 1
    assert "give kernel=auto:SIDE, an odd number of pixels up to 21" in answer.err

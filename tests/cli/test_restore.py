import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from PIL import Image

import posteriori
from posteriori.images.files import load_image, save_image
from posteriori.likelihoods import Gaussian
from posteriori.metrics import psnr
from posteriori.operators import BoxMask, GaussianBlur, Mask
from posteriori.restore import methods, restoration
from posteriori.rng import image_key
from posteriori.samplers import DPIR

BLUR = "gaussian-blur(sigma=1.0)"


def contents(folder):
    """The bytes of everything but the manifests, in which the time stands."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_simulate_writes_everything_about_a_picture(restore, face, tmp_path):
    answer = restore(face, "--simulate", "--operator", BLUR, "--sampler", "dps", "--samples", 3, "--out", tmp_path)
    assert answer.code == 0
    entry = tmp_path / "face"
    written = {path.name for path in entry.iterdir()}
    assert written == {
        *("sample-01.png", "sample-02.png", "sample-03.png", "mean.png", "std.png", "std.npy"),
        *("truth.png", "measurement.npy", "measurement.png", "comparison.png", "manifest.json"),
    }
    found = manifest(entry)
    assert found["input"]["sha256"] == hashlib.sha256(face.read_bytes()).hexdigest()
    settings = found["settings"]
    assert settings["operator"] == "gaussian-blur(sigma=1.0, size=61, border=reflect)"
    assert settings["noise"] == {"sigma": 0.05, "range": [-1, 1], "of 255": pytest.approx(6.375)}
    assert settings["sampler"].startswith("dps(scale=")
    assert settings["sources"]["scale"] == "the paper's value times 32/256 px times 1000/2 steps"
    assert settings["sources"]["eta"] == "the class's default"
    assert settings["prior"]["name"] == "tiny"
    assert len(settings["prior"]["sha256"]) == 64
    assert (settings["seed"], settings["samples"], settings["steps"]) == (0, 3, 2)
    assert found["network_calls"] == 2
    assert found["seconds"] > 0
    assert found["peak_memory_bytes"] > 1e6
    assert found["versions"]["torch"] == torch.__version__
    assert "LPIPS v0.1 with AlexNet, all at 32 x 32 pixels" in found["protocol"]
    # the metrics are those of the pictures that were written, up to rounding
    truth, mean = load_image(entry / "truth.png"), load_image(entry / "mean.png")
    assert found["metrics"]["mean"]["psnr"] == pytest.approx(float(psnr(mean, truth)), abs=0.05)
    assert len(found["metrics"]["samples"]) == len(found["residual"]["samples"]) == 3
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in rows] == ["face"]
    assert rows[0]["psnr"] == found["metrics"]["mean"]["psnr"]
    # it says which settings nobody measured, and where they are from
    assert "no preset of dps was measured" in answer.err
    assert "0.05 on [-1, 1], 6.375/255 of the picture's range" in answer.err


def test_phase_retrieval_takes_four_samples_and_gives_the_best(restore, face, tmp_path):
    command = ["--simulate", "--operator", "phase-retrieval", "--sampler", "dps", "--out", tmp_path]
    answer = restore(face, *command)
    assert answer.code == 0
    best = manifest(tmp_path / "face")["best"]
    residuals = manifest(tmp_path / "face")["residual"]["samples"]
    assert len(residuals) == 4
    assert f"residuals of the samples of face: {', '.join(f'{own:.3f}' for own in residuals)}" in answer.out
    (row,) = json.loads((tmp_path / "results.json").read_text())
    assert row["residual"] == min(residuals) == residuals[best["sample"] - 1]
    assert row["explaining"] == best["share that explains y"]


def test_the_measurement_is_exact_and_is_taken_again(restore, face, tmp_path):
    assert restore(face, "--simulate", "--operator", BLUR, "--samples", 2, "--out", tmp_path / "a").code == 0
    y = np.load(tmp_path / "a/face/measurement.npy")
    operator = GaussianBlur((3, 32, 32), sigma=1.0)
    x = load_image(face)
    expected = Gaussian.simulate(x, operator, 0.05, keys=[image_key(x[0])]).y[0].numpy()
    assert y.dtype == np.float32
    assert np.array_equal(y, expected)  # neither rounded nor clipped
    again = tmp_path / "a/face/measurement.npy"
    assert restore(again, "--operator", BLUR, "--samples", 2, "--out", tmp_path / "b").code == 0
    for name in ("sample-01.png", "sample-02.png", "mean.png", "std.npy"):
        assert (tmp_path / "b/measurement" / name).read_bytes() == (tmp_path / "a/face" / name).read_bytes()
    assert "metrics" not in manifest(tmp_path / "b/measurement")


def test_an_array_on_another_scale_is_refused_until_its_range_is_named(restore, face, tmp_path):
    y = Gaussian.simulate(load_image(face), GaussianBlur((3, 32, 32), sigma=1.0), 0.05).y[0].numpy()
    command = ["--operator", BLUR, "--out"]
    found = {}
    for name, scale, array, problem in (
        ("right", None, y, None),
        ("unit", "0..1", (y + 1) / 2, "looks like [0, 1]: say --range 0..1, or --range -1..1 if"),
        ("byte", "0..255", 127.5 * (y + 1), "cannot give of a picture on [-1, 1]: name its range with --range"),
        (
            "whole",
            "0..255",
            np.round(127.5 * (y + 1)).clip(0, 255).astype(np.uint8),
            "range of whole ones with --range",
        ),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        if problem:
            answer = restore(tmp_path / f"{name}.npy", *command, tmp_path / "refused")
            assert answer.code == 1
            assert problem in answer.err
            assert not (tmp_path / "refused" / name).exists()
        named = ["--range", scale] if scale else []
        assert restore(tmp_path / f"{name}.npy", *named, *command, tmp_path / "out").code == 0
        assert manifest(tmp_path / "out" / name)["settings"]["range"] == scale
        found[name] = np.load(tmp_path / "out" / name / "measurement.npy")
    assert np.allclose(found["unit"], y, atol=1e-5)
    assert np.allclose(found["byte"], y, atol=1e-5)
    assert np.allclose(found["whole"], y.clip(-1, 1), atol=0.5 / 127.5 + 1e-6)


def test_the_same_command_writes_the_same_bytes_and_another_seed_others(restore, face, tmp_path):
    command = [face, "--simulate", "--operator", BLUR, "--samples", 2]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert restore(*command, "--seed", seed, "--out", tmp_path / name).code == 0
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a["face/truth.png"] == c["face/truth.png"]
    for name in ("face/sample-01.png", "face/measurement.npy"):
        assert a[name] != c[name]
    assert a["face/sample-01.png"] != a["face/sample-02.png"]


def test_mean_and_std_are_those_of_the_samples(restore, face, tmp_path):
    restore(face, "--simulate", "--operator", BLUR, "--samples", 4, "--out", tmp_path)
    samples = np.stack([pixels(tmp_path / f"face/sample-{i:02d}.png") for i in range(1, 5)]).astype(float)
    inside = ((samples > 0) & (samples < 255)).all(0)  # pictures are clipped to the range, their statistics are not
    assert inside.sum() > 20
    assert np.abs(samples.mean(0) - pixels(tmp_path / "face/mean.png"))[inside].max() <= 1
    std = np.load(tmp_path / "face/std.npy").transpose(1, 2, 0) * 127.5
    assert np.abs(samples.std(0, ddof=1) - std)[inside].max() < 1


def test_white_of_a_mask_is_restored_and_black_is_kept(restore, face, tmp_path):
    white = np.zeros((32, 32), np.uint8)
    white[8:20, 10:16] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    Image.fromarray(255 - white).save(tmp_path / "inverse.png")
    assert restore(face, "--mask", tmp_path / "mask.png", "--out", tmp_path / "a").code == 0
    assert restore(face, "--mask", tmp_path / "inverse.png", "--mask-invert", "--out", tmp_path / "b").code == 0
    assert restore(face, "--operator", "mask", "--mask", tmp_path / "mask.png", "--out", tmp_path / "c").code == 0
    y = np.load(tmp_path / "a/face/measurement.npy")
    hidden = white > 0
    assert (y[:, hidden] == 0).all()
    assert np.allclose(y[:, ~hidden], load_image(face)[0].numpy()[:, ~hidden])
    pictures = [(tmp_path / name / "face/restored.png").read_bytes() for name in "abc"]
    assert pictures[0] == pictures[1] == pictures[2]
    recorded = manifest(tmp_path / "a/face")["settings"]["mask"]
    assert recorded["sha256"] == hashlib.sha256((tmp_path / "mask.png").read_bytes()).hexdigest()
    # a box given as a mask is the box
    box = BoxMask((3, 32, 32), size=6, top=8, left=10)
    keep = torch.ones(1, 32, 32, dtype=torch.bool)
    keep[:, 8:14, 10:16] = False
    assert torch.equal(box.keep, Mask((3, 32, 32), keep).keep)


def test_black_of_a_mask_is_kept_to_the_last_bit(restore, face, tmp_path):
    white = np.zeros((32, 32), np.uint8)
    white[8:20, 10:16] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    for sampler in ("dps", "ddrm", "mmps(iterations=1)", "pigdm", "ddnm", "repaint"):
        out = tmp_path / sampler
        assert restore(face, "--mask", tmp_path / "mask.png", "--sampler", sampler, "--out", out).code == 0
        assert manifest(out / "face")["settings"]["noise"]["sigma"] == 0
        kept = pixels(out / "face/restored.png") == pixels(face)
        assert kept[white == 0].all()
        assert not kept[white > 0].all()
    answer = restore(face, "--mask", tmp_path / "mask.png", "--noise", "0.05", "--out", tmp_path / "noisy")
    assert answer.code == 0
    assert manifest(tmp_path / "noisy/face")["settings"]["noise"]["sigma"] == 0.05
    assert not (pixels(tmp_path / "noisy/face/restored.png") == pixels(face))[white == 0].all()


@pytest.mark.parametrize("sampler", ["diffpir", "repaint"])
def test_a_grey_edge_of_a_mask_is_restored(restore, face, tmp_path, sampler):
    """A white brush with soft edges: black is kept to the last bit, and all that the brush touched is restored."""
    y, x = np.mgrid[:32, :32]
    alpha = np.clip(2.5 - np.abs(x - y) / 2, 0, 1)
    painted = pixels(face) * (1 - alpha[..., None]) + 255 * alpha[..., None]
    Image.fromarray(painted.round().astype(np.uint8)).save(tmp_path / "painted.png")
    Image.fromarray((255 * alpha).round().astype(np.uint8)).save(tmp_path / "mask.png")
    command = [tmp_path / "painted.png", "--mask", tmp_path / "mask.png", "--sampler", sampler, "--steps", 20]
    assert restore(*command, "--out", tmp_path / "out").code == 0
    found, given = pixels(tmp_path / "out/painted/restored.png").astype(float), pixels(tmp_path / "painted.png")
    assert (found == given)[alpha == 0].all()
    edge = (alpha > 0) & (alpha < 1)
    assert edge.sum() > 50
    assert (np.abs(found - given)[edge].mean(1) > 0).mean() > 0.95
    assert manifest(tmp_path / "out/painted")["residual"]["samples"][0] < 1e-5


def test_every_picture_has_a_mask_of_its_own_in_one_batch(restore, face, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    hidden = {}
    for name, left in (("a", 4), ("b", 20)):
        shutil.copy(face, tmp_path / f"{name}.png")
        hidden[name] = np.zeros((32, 32), np.uint8)
        hidden[name][8:20, left : left + 6] = 255
        Image.fromarray(hidden[name]).save(masks / f"{name}.png")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    command = ["--sampler", "pigdm", "--steps", 4, "--dtype", "float32"]  # bfloat16 rounds by the batch
    assert restore(*files, "--mask", masks, *command, "--out", tmp_path / "both").code == 0
    for name, file in zip("ab", files, strict=True):
        assert restore(file, "--mask", masks / f"{name}.png", *command, "--out", tmp_path / "alone").code == 0
        together, alone = (tmp_path / folder / name / "restored.png" for folder in ("both", "alone"))
        assert np.abs(pixels(together).astype(int) - pixels(alone)).max() <= 1
        assert manifest(tmp_path / "both" / name)["rows_per_call"] == 2
        assert manifest(tmp_path / "both" / name)["settings"]["mask"]["file"] == str(masks / f"{name}.png")
        kept = (pixels(together) == pixels(file)).all(-1)
        assert kept[hidden[name] == 0].all()
        assert not kept[hidden[name] > 0].all()


def test_a_grey_picture_is_restored_in_grey(restore, tmp_path):
    grey = pixels_of("astronaut").mean(2).round().astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey).convert("RGB").save(tmp_path / "rgb.png")
    files = [tmp_path / "grey.png", tmp_path / "rgb.png"]
    assert restore(*files, "--operator", BLUR, "--samples", 2, "--out", tmp_path / "out").code == 0
    for name in ("grey", "rgb"):
        for picture in ("sample-01", "sample-02", "mean"):
            found = pixels(tmp_path / "out" / name / f"{picture}.png")
            assert (found == found[..., :1]).all()
        assert manifest(tmp_path / "out" / name)["input"]["grey"]


def test_a_measurement_of_fewer_pixels_is_scored_as_its_bicubic_enlargement(restore, face, tmp_path):
    assert restore(face, "--simulate", "--operator", "downsample(factor=2)", "--out", tmp_path).code == 0
    y = np.load(tmp_path / "face/measurement.npy")
    enlarged = np.stack([bicubic(channel, 2) for channel in y.astype(float)])
    expected = psnr(torch.from_numpy(enlarged[None]).float(), load_image(face)).item()
    assert manifest(tmp_path / "face")["metrics"]["measurement"]["psnr"] == pytest.approx(expected, abs=1e-3)
    assert "enlarged by bicubic interpolation" in manifest(tmp_path / "face")["protocol"]


def bicubic(y, factor):
    """Keys 1981 with a = -0.75, the border repeated."""

    def matrix(side):
        rows = np.zeros((factor * side, side))
        for i in range(factor * side):
            at = (i + 0.5) / factor - 0.5
            for j in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
                d, a = abs(at - j), -0.75
                inner, outer = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * (d**3 - 5 * d**2 + 8 * d - 4)
                rows[i, min(max(j, 0), side - 1)] += inner if d <= 1 else outer
        return rows

    return matrix(y.shape[0]) @ y @ matrix(y.shape[1]).T


def test_a_resized_picture_is_announced_with_what_its_settings_are_of(restore, tmp_path):
    save_image(load_image("astronaut", size=128), tmp_path / "large.png")
    command = [tmp_path / "large.png", "--operator", BLUR, "--fit", "resize", "--out"]
    told = restore(*command, tmp_path / "a").err
    assert "4 px of the file to 1: the operator is gaussian-blur(sigma=0.25, size=17, border=replicate) there" in told
    assert "px of the file" not in restore(*command, tmp_path / "b", "--simulate").err
    refused = restore(tmp_path / "large.png", "--operator", "motion-blur", "--fit", "resize", "--out", tmp_path / "c")
    assert refused.err.startswith("posteriori: motion-blur is said of the file's pixels, and a resized picture has no ")


def test_a_face_framed_after_its_blur_is_no_worse_along_the_frame(posteriori, tmp_path):
    """A lens blurs what is beyond the frame into the picture, which a mirrored border takes for stripes and specks."""
    whole = load_image("astronaut")
    blurred = GaussianBlur(tuple(whole.shape[1:]), sigma=4.0)(whole)
    save_image(blurred[..., 16:-16, 16:-16], tmp_path / "lens.png")
    save_image(whole[..., 16:-16, 16:-16], tmp_path / "sharp.png")
    sharp = Image.open(tmp_path / "sharp.png").resize((64, 64), Image.Resampling.LANCZOS)

    def error(*options):
        """RMSE of the outer 5 pixels, and the measurement's."""
        command = ["restore", tmp_path / "lens.png", *options, "--noise", "0.02", "--fit", "resize", "--overwrite"]
        assert posteriori(*command, "--sampler", "ddrm", "--steps", "10", "--out", tmp_path / "out").code == 0
        found = (pixels(tmp_path / "out" / "lens" / name) for name in ("restored.png", "measurement.png"))
        errors = [(own.astype(float) - np.asarray(sharp)) ** 2 for own in found]
        return [float(np.sqrt((e.sum() - e[5:-5, 5:-5].sum()) / (e.size - e[5:-5, 5:-5].size))) for e in errors]

    restored, measured = error("--operator", "gaussian-blur(sigma=4)")
    mirrored, _ = error("--operator", "gaussian-blur(sigma=4, border=reflect)")
    assert restored < measured < mirrored


def pixels_of(name):
    return ((load_image(name, size=32)[0].permute(1, 2, 0).numpy() + 1) * 127.5).round()


def test_a_folder_with_a_broken_picture_restores_the_others(restore, face, tmp_path):
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name in ("astronaut", "chelsea", "coffee"):
        save_image(load_image(name, size=32), pictures / f"{name}.png")
    (pictures / "broken.png").write_bytes(face.read_bytes()[:700])
    (pictures / "notes.txt").write_text("not a picture")
    out = tmp_path / "out"
    answer = restore(pictures, "--simulate", "--operator", BLUR, "--out", out, "--json")
    assert answer.code == 1
    assert [line for line in answer.err.splitlines() if line.startswith("posteriori:")] == [
        f"posteriori: not read: {pictures / 'notes.txt'}",
        next(line for line in answer.err.splitlines() if "broken.png is damaged" in line),
    ]
    rows = json.loads(answer.out)
    assert [row["name"] for row in rows] == ["astronaut", "broken", "chelsea", "coffee"]
    assert [row["name"] for row in rows if row["error"]] == ["broken"]
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        *("astronaut", "chelsea", "coffee", "results.json"),
    ]


def test_the_same_command_goes_on_where_it_was_stopped(restore, tmp_path):
    names = ("astronaut", "chelsea", "coffee")
    for name in names:
        save_image(load_image(name, size=32), tmp_path / f"{name}.png")
    files = [tmp_path / f"{name}.png" for name in names]
    command = [*files, "--simulate", "--operator", BLUR, "--out", tmp_path / "out"]
    assert restore(*command).code == 0
    whole = contents(tmp_path / "out")
    kept = (tmp_path / "out/astronaut/restored.png").stat().st_mtime_ns
    for path in (tmp_path / "out/coffee").iterdir():
        path.unlink()
    (tmp_path / "out/coffee").rmdir()
    assert restore(*command).code == 0
    assert contents(tmp_path / "out") == whole
    assert (tmp_path / "out/astronaut/restored.png").stat().st_mtime_ns == kept


def test_an_input_is_read_once_where_a_stopped_command_goes_on(restore, tmp_path, monkeypatch):
    names = ("astronaut", "chelsea", "coffee")
    command = [*names, "--operator", BLUR, "--fit", "resize", "--batch", 2, "--out", tmp_path]
    assert restore(*command).code == 0
    shutil.rmtree(tmp_path / "chelsea")  # one of two that are restored together
    read, load = [], restoration.load
    monkeypatch.setattr(restoration, "load", lambda source, *given, **named: read.append(source.name)
                        or load(source, *given, **named))  # fmt: skip
    assert restore(*command).code == 0
    assert sorted(read) == sorted(names)


def test_a_file_that_was_damaged_since_stops_no_other(restore, tmp_path):
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name in ("astronaut", "chelsea"):
        save_image(load_image(name, size=32), pictures / f"{name}.png")
    command = [pictures, "--operator", "identity", "--out", tmp_path / "out"]
    assert restore(*command).code == 0
    before = contents(tmp_path / "out")
    broken = pictures / "astronaut.png"
    broken.write_bytes(broken.read_bytes()[:500])
    save_image(load_image("coffee", size=32), pictures / "coffee.png")
    answer = restore(*command, "--json")
    assert answer.code == 1
    assert "posteriori: " + str(broken) + " is damaged" in answer.err
    rows = {row["name"]: row for row in json.loads(answer.out)}
    assert [bool(rows[name]["error"]) for name in ("astronaut", "chelsea", "coffee")] == [True, False, False]
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before} == before, "what was done is kept"
    assert "coffee/restored.png" in after


def test_nothing_is_overwritten_unless_asked(restore, face, tmp_path):
    command = [face, "--simulate", "--operator", BLUR, "--out", tmp_path]
    assert restore(*command).code == 0
    before = contents(tmp_path)
    answer = restore(*command, "--seed", 1)
    assert answer.code == 1
    assert "face already exists, made with other settings (seed): give another --out, or --overwrite" in answer.err
    assert contents(tmp_path) == before
    assert restore(*command, "--seed", 1, "--overwrite").code == 0
    assert contents(tmp_path) != before
    (tmp_path / "face/manifest.json").unlink()  # somebody's own folder
    assert restore(*command, "--seed", 1).code == 1


def test_noise_is_estimated_from_pictures_and_arrays_and_what_is_simulated_have_the_usual(restore, tmp_path):
    x = load_image("coffee", size=32)
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    save_image(noisy, tmp_path / "noisy.png")
    save_image(x, tmp_path / "clean.png")
    np.save(tmp_path / "y.npy", noisy[0].numpy())
    out = tmp_path / "out"
    for given, name, low, high in (
        ((tmp_path / "noisy.png", tmp_path / "clean.png"), "noisy", 0.1, 0.3),
        ((tmp_path / "noisy.png", tmp_path / "clean.png"), "clean", 0.01, 0.05),  # what samplers were measured at
        ((tmp_path / "y.npy",), "y", 0.05, 0.05),
        ((tmp_path / "clean.png", "--simulate", "--overwrite"), "clean", 0.05, 0.05),
    ):
        assert restore(*given, "--operator", BLUR, "--out", out).code == 0
        assert low <= manifest(out / name)["settings"]["noise"]["sigma"] <= high


@pytest.mark.parametrize(
    "command", [("restore", "--operator", "identity"), ("denoise", "--noise", "25/255"), ("denoise", "--t", 100)]
)
@pytest.mark.parametrize(
    ("size", "given", "prior"),
    [((64, 64), (), "faces-64"), ((40, 36), (), "photo"), ((40, 36), ("--fit", "resize"), "faces-64")],
)
def test_the_prior_is_photo_unless_a_picture_is_or_is_made_of_a_face_s_size(
    tmp_path, posteriori, command, size, given, prior
):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)).save(tmp_path / "x.png")
    command = [*command, tmp_path / "x.png", *given, "--out", tmp_path / "out"]
    assert posteriori(*command).code == 0
    assert manifest(tmp_path / "out/x")["settings"]["prior"]["name"] == prior


@pytest.mark.parametrize(
    ("size", "fit", "restored"),
    [((40, 36), "crop", (32, 32)), ((30, 21), "pad", (30, 21)), ((80, 50), "resize", (32, 32))],
)
def test_a_picture_of_another_size_is_fitted_only_as_asked(restore, tmp_path, size, fit, restored):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)).save(tmp_path / "x.png")
    command = [tmp_path / "x.png", "--operator", "identity", "--noise", 0.05, "--out", tmp_path / "out"]
    answer = restore(*command)
    assert answer.code == 1
    assert f"x.png is {size[0]} x {size[1]} pixels, and 32 x 32 are needed: choose --fit" in answer.err
    assert restore(*command, "--fit", fit).code == 0
    assert pixels(tmp_path / "out/x/restored.png").shape == (*restored[::-1], 3)
    assert manifest(tmp_path / "out/x")["input"]["fit"]


def test_a_padded_low_resolution_picture_is_cut_to_its_own_pixels(restore, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 14, 3), np.uint8)).save(tmp_path / "x.png")
    command = [tmp_path / "x.png", "--operator", "downsample(factor=2)", "--noise", 0.05, "--fit", "pad"]
    assert restore(*command, "--out", tmp_path / "out").code == 0
    assert pixels(tmp_path / "out/x/restored.png").shape == (24, 28, 3)


def test_a_convolutional_prior_takes_pictures_of_any_size(posteriori, any_size_prior, tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a", (45, 37)), ("b", (20, 50))):
        Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), np.uint8)).save(tmp_path / f"{name}.png")
    command = ["restore", "--prior", any_size_prior, "--steps", 2]
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    assert posteriori(*command, *files, "--simulate", "--operator", BLUR, "--out", tmp_path / "x").code == 0
    for name, size in (("a", (45, 37)), ("b", (20, 50))):
        assert pixels(tmp_path / f"x/{name}/restored.png").shape == (*size[::-1], 3)
        assert manifest(tmp_path / "x" / name)["settings"]["size"] == [*size[::-1]]
    small = tmp_path / "x/b/measurement.npy"
    assert posteriori(*command, small, "--operator", "downsample(factor=3)", "--out", tmp_path / "y").code == 0
    assert pixels(tmp_path / "y/measurement/restored.png").shape == (150, 60, 3)
    answer = posteriori(*command, *files, "--operator", BLUR, "--fit", "crop", "--out", tmp_path / "z")
    assert answer.code == 1
    assert "takes pictures of any size: leave out --fit crop" in answer.err


def test_one_network_call_denoises(posteriori, tiny_prior, face, tmp_path):
    command = ["denoise", face, "--prior", tiny_prior, "--simulate"]
    assert posteriori(*command, "--t", 100, "--out", tmp_path / "t").code == 0
    found = manifest(tmp_path / "t/face")
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[99]
    sigma = np.sqrt((1 - alpha_bar) / alpha_bar)
    assert found["network_calls"] == 1
    assert found["settings"]["t"] == 100
    assert found["settings"]["noise"]["sigma"] == pytest.approx(sigma)
    # x_0 + sigma n in the picture's own brightness
    x, y = load_image(face)[0].numpy(), np.load(tmp_path / "t/face/measurement.npy")
    assert (y - x).mean() == pytest.approx(0, abs=4 * sigma / np.sqrt(x.size))
    assert (y - x).std() == pytest.approx(sigma, rel=0.05)
    assert posteriori(*command, "--sigma", f"{sigma:.17g}", "--out", tmp_path / "s").code == 0
    assert contents(tmp_path / "s") == contents(tmp_path / "t")
    assert posteriori(*command, "--sigma", "25/255", "--out", tmp_path / "of").code == 0
    assert manifest(tmp_path / "of/face")["settings"]["noise"]["sigma"] == pytest.approx(50 / 255)


def test_names_are_printed_as_they_are(restore, face, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal, and shows its bars
    monkeypatch.setenv("COLUMNS", "120")
    folder = tmp_path / "[in]"
    folder.mkdir()
    (folder / "scan [old] :cat:.png").write_bytes(face.read_bytes())
    (folder / "cut [red].png").write_bytes(face.read_bytes()[:700])
    answer = restore(folder, "--operator", "identity", "--out", tmp_path / "[out] :cat:")
    for told, name in (
        (answer.out, "scan [old] :cat:"),
        (answer.out, "cut [red] (failed)"),
        (answer.out, "[out] :cat:"),
    ):
        assert name in re.sub(r"\x1b\[[0-9;]*m", "", told)
    assert "scan [old] :cat:" in answer.err, "the bar's label"
    assert "[in]/cut [red].png is damaged" in answer.err


def test_every_console_prints_names_as_they_are():
    package = Path(posteriori.__file__).parent
    made = {path.name for path in package.rglob("*.py") if re.search(r"\bConsole\(", path.read_text())}
    assert made == {"terminal.py"}
    columns = [text for path in package.rglob("*.py") for text in re.findall(r"TextColumn\(.*", path.read_text())]
    assert all("markup=False" in text or '("left")' in text for text in columns)


def test_samples_are_numbered_and_go_on(posteriori, tiny_prior, tmp_path):
    command = ["sample", "--prior", tiny_prior, "-n", 5, "--steps", 2, "--batch", 2, "--out", tmp_path]
    assert posteriori(*command).code == 0
    names = [f"sample-{i:03d}.png" for i in range(1, 6)]
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["grid.png", "manifest.json", *names]
    before = contents(tmp_path)
    assert len({before[name] for name in names}) == 5
    (tmp_path / "sample-004.png").unlink()
    (tmp_path / "sample-002.png").write_bytes(b"damaged")  # pictures are made of the exact samples, again
    assert posteriori(*command).code == 0
    assert contents(tmp_path) == before
    answer = posteriori(*command, "--seed", 1)
    assert answer.code == 1
    assert "--overwrite" in answer.err
    assert contents(tmp_path) == before
    assert posteriori(*command, "--seed", 1, "-n", 3, "--overwrite").code == 0
    assert len(list(tmp_path.glob("sample-*.png"))) == 3


def test_the_quiet_say_nothing(restore, posteriori, tiny_prior, face, tmp_path):
    answer = restore(face, "--simulate", "--operator", BLUR, "--out", tmp_path / "a", "-q")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    answer = posteriori("sample", "--prior", tiny_prior, "-n", 1, "--steps", 1, "--out", tmp_path / "b", "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_the_steps_of_a_spec_win_unless_both_are_given(posteriori, tiny_prior, face, tmp_path):
    command = ["restore", face, "--prior", tiny_prior, "--operator", BLUR, "--sampler"]
    assert posteriori(*command, "dps(steps=3)", "--out", tmp_path).code == 0
    assert manifest(tmp_path / "face")["network_calls"] == 3
    answer = posteriori(*command, "dps(steps=3)", "--steps", 4, "--out", tmp_path)
    assert answer.code == 2
    assert "--steps is 4 and steps 3: give one of them" in answer.err


def start(tiny_prior, tmp_path, *arguments):
    # a job in the background of a shell ignores Ctrl-C, and so would its children
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = f"{listen}; import posteriori.cli; posteriori.cli.main()"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            command,
            "restore",
            "--prior",
            tiny_prior,
            "--out",
            tmp_path / "out",
            *arguments,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_control_c_keeps_what_was_finished_and_a_second_command_has_to_wait(restore, tiny_prior, tmp_path):
    names = ("astronaut", "chelsea", "coffee")
    for name in names:
        save_image(load_image(name, size=32), tmp_path / f"{name}.png")
    files = [tmp_path / f"{name}.png" for name in names]
    arguments = [*files, "--simulate", "--operator", BLUR, "--batch", 1, "--steps", 300]
    running = start(tiny_prior, tmp_path, *map(str, arguments))
    deadline = time.monotonic() + 120
    while not (tmp_path / "out/astronaut").exists() and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    answer = restore(*arguments, "--out", tmp_path / "out")
    assert answer.code == 1
    holder = f"(process {running.pid})"
    assert f"is being written by another posteriori command {holder}: wait for it, or give another --out" in answer.err
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert error.strip().splitlines()[-1] == "posteriori: interrupted: what was finished is kept"
    assert "Traceback" not in error
    left = sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert left
    assert set(left) < set(names)
    for name in left:
        assert pixels(tmp_path / f"out/{name}/restored.png").shape == (32, 32, 3)
        manifest(tmp_path / "out" / name)


#: DDIM that waits in the third of nine steps, for ever
WAITING = """
import time
from dataclasses import dataclass
from pathlib import Path

from posteriori.guidance.base import ReverseGuidance


@dataclass(frozen=True, kw_only=True)
class Waiting(ReverseGuidance):
    def __call__(self, x_t, t, prior, like):
        if self.steps == 9:  # and no trial
            with Path("calls").open("a") as calls:
                calls.write(".")
            while Path("calls").stat().st_size > 2:
                time.sleep(0.02)
        return prior.estimate(x_t, t, self.clip)
"""


def test_control_c_within_a_picture_keeps_it_as_it_is(tiny_prior, face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("slow.py").write_text(WAITING)
    options = ["--operator", BLUR, "--noise", "0.05", "--sampler", "slow.py:Waiting", "--steps", "9"]
    running = start(tiny_prior, tmp_path, str(face), *options)
    calls, deadline = Path("calls"), time.monotonic() + 120
    while (not calls.exists() or calls.stat().st_size < 3) and time.monotonic() < deadline:
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    path = tmp_path / "out/face.unfinished.png"
    said = error.strip().splitlines()[-2:]
    assert said == [
        f"posteriori: {path} is face as it was estimated after step 2 of 9",
        "posteriori: interrupted: what was finished is kept",
    ]
    assert pixels(path).shape == (32, 32, 3)
    assert not (tmp_path / "out/face").exists()


def test_presets_are_looked_up_once_for_each_size(restore, face, any_size_prior, tmp_path, monkeypatch):
    sizes, resolve = [], methods.resolve
    monkeypatch.setattr(
        methods,
        "resolve",
        lambda cls, operator, *rest, **given: (
            sizes.append(operator.shape[1:]) or resolve(cls, operator, *rest, **given)
        ),
    )
    for name, side in (("a", 32), ("b", 32), ("c", 36)):
        save_image(load_image(face).new_zeros(1, 3, side, side), tmp_path / f"{name}.png")
    pictures = [tmp_path / f"{name}.png" for name in "abc"]
    command = [*pictures, "--prior", any_size_prior, "--operator", BLUR, "--noise", 0.05, "--sampler", "dps"]
    assert restore(*command, "--out", tmp_path / "out").code == 0
    assert sizes == [(40, 40), (44, 44)]  # with what a blur of files brings in from beyond the frame


def test_a_result_stands_under_the_input_s_name_as_it_was_and_the_tree_is_kept(restore, tmp_path):
    inside = tmp_path / "in" / "sub"
    inside.mkdir(parents=True)
    deep = np.arange(1024, dtype=np.uint16).reshape(32, 32) * 4
    Image.fromarray(deep).save(inside / "x.tif")
    Image.fromarray(np.full((32, 32), 90, np.uint8)).save(tmp_path / "in" / "y.png")
    command = [tmp_path / "in", "--operator", BLUR, "--out", tmp_path / "out"]
    answer = restore(*command)
    assert answer.code == 0
    with Image.open(tmp_path / "out/sub/x/x.tif") as picture:
        assert picture.mode == "I;16"
        assert np.asarray(picture).max() <= 4095
    assert "note: sub/x: no sample of 16 bits is above 4092: 0..4095 was taken as black to white" in answer.out
    assert pixels(tmp_path / "out/y/y.png").shape == (32, 32), "grey stays grey"
    assert [row["name"] for row in json.loads((tmp_path / "out/results.json").read_text())] == ["sub/x", "y"]
    again = restore(*command)
    assert again.code == 0
    assert restore(*command, "--format", "jpeg").code == 1, "made otherwise"
    assert restore(*command, "--format", "jpeg", "--overwrite").code == 0
    assert manifest(tmp_path / "out/sub/x")["file"] == "x.jpg"


@pytest.mark.parametrize(("channels", "side"), [(1, (32, 32)), (3, (24, 32))])
def test_a_prior_of_grey_or_wide_pictures_restores(posteriori, tmp_path, channels, side):
    torch.manual_seed(0)
    blocks = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2, "norm_num_groups": 8}
    sizes = {"sample_size": side, "in_channels": channels, "out_channels": channels, "block_out_channels": (8, 16)}
    UNet2DModel(**sizes, **blocks).save_pretrained(tmp_path / "p")
    DDPMScheduler().save_config(tmp_path / "p")
    Image.fromarray(np.tile(np.arange(side[1], dtype=np.uint8), (side[0], 1))).save(tmp_path / "x.png")
    command = [
        "--prior",
        tmp_path / "p",
        "--operator",
        BLUR,
        "--noise",
        0.05,
        "--steps",
        2,
        "--sampler",
        "dps",
        "--out",
        tmp_path / "out",
    ]
    answer = posteriori("restore", tmp_path / "x.png", *command)
    assert answer.code == 0, answer.err
    assert pixels(tmp_path / "out/x/x.png").shape == side, "grey stays grey"


def test_what_there_is_at_ctrl_c_is_kept_and_the_command_goes_on(posteriori, any_size_prior, tmp_path, monkeypatch):
    save_image(load_image("coffee", size=48), tmp_path / "a.png")
    options = [
        "--operator",
        BLUR,
        "--sampler",
        "dpir",
        "--steps",
        4,
        "--region",
        "8,4,32,24",
        "--out",
        tmp_path / "out",
    ]
    command = ["restore", tmp_path / "a.png", "--prior", any_size_prior, *options]
    step, done = DPIR.step, []

    def stopped(self, *given):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(step(self, *given))
        return done[-1]

    monkeypatch.setattr(DPIR, "step", stopped)
    answer = posteriori(*command)
    assert answer.code == 130
    path = tmp_path / "out/a.unfinished.png"
    assert f"{path} is a as it was estimated after step 2 of 4" in answer.err
    assert pixels(path).shape == (24, 32, 3)
    assert not (tmp_path / "out/a").exists()
    monkeypatch.setattr(DPIR, "step", step)
    assert posteriori(*command).code == 0
    assert not path.exists()
    assert pixels(tmp_path / "out/a/a.png").shape == (24, 32, 3)
    assert manifest(tmp_path / "out/a")["settings"]["region"] == [8, 4, 32, 24]


@pytest.mark.parametrize(
    ("prior", "degraded"),
    [("tiny_prior", "mask"), ("two_networks", "blur"), ("any_size_prior", "mask"), ("any_size_prior", "blur")],
)
def test_two_processes_restore_what_one_does(restore, request, tmp_path, prior, degraded):
    """Each with the networks that come to it once; with a mask for each picture, or a noise that is found in each."""
    pictures, masks = tmp_path / "pictures", tmp_path / "masks"
    pictures.mkdir()
    masks.mkdir()
    for i in range(3):
        save_image(load_image("chelsea", size=32 + 4 * i * (prior == "any_size_prior")), pictures / f"{i}.png")
        side = load_image(pictures / f"{i}.png").shape[-1]
        mask = -torch.ones(1, 3, side, side)
        mask[..., i : i + 9, :12] = 1
        save_image(mask, masks / f"{i}.png")
    by = ["--mask", masks] if degraded == "mask" else ["--operator", "gaussian-blur(sigma=1.0, size=7)"]
    words = [pictures, *by, "--prior", request.getfixturevalue(prior), "--steps", "2", "--batch", "1"]
    assert restore(*words, "--out", tmp_path / "one").code == 0
    assert restore(*words, "--jobs", "2", "--out", tmp_path / "two").code == 0
    found = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png")}
    assert len(found) > 6
    for path in found:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path
    assert restore(*words, "--jobs", "2", "--out", tmp_path / "two").code == 0


def test_an_input_that_takes_too_long_is_one_that_failed(restore, tmp_path):
    """And the command goes on to the others, and to its summary."""
    for name in "ab":
        save_image(load_image("chelsea", size=32), tmp_path / f"{name}.png")
    words = [tmp_path / "a.png", tmp_path / "b.png", "--operator", "identity", "--noise", "0.1", "--sampler", "dps"]
    answer = restore(*words, "--batch", "1", "--steps", "1000", "--timeout", "1", "--out", tmp_path / "out")
    assert answer.code == 1
    for name in "ab":
        assert f"posteriori: {name} took longer than 1 seconds, and was stopped" in answer.err
    assert (tmp_path / "out/results.json").is_file()

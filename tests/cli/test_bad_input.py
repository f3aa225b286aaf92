"""Every wrong input through the command line: one line that says what to do, an exit code, nothing written."""

import os
import pickle
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.conftest import full_disk

BLUR = ("--operator", "gaussian-blur(sigma=1.0)")
SIMULATE = ("--simulate", *BLUR)


def grey(path, value, size=(32, 32)):
    Image.new("L", size, value).save(path)


class Bomb:
    """A pickle that would leave a file behind, if it were ever run."""

    def __reduce__(self):
        return (os.system, ("touch exploded",))


@pytest.fixture
def here(tmp_path, monkeypatch, face, tiny_prior):
    """A folder of files that are wrong in one way each; the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path / "home"))
    data = face.read_bytes()
    (tmp_path / "face.png").write_bytes(data)
    (tmp_path / "empty.png").touch()
    (tmp_path / "truncated.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "text.txt").write_text("not a picture")
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    grey("large.png", 100, (40, 50))
    grey("white.png", 255)
    grey("black.png", 0)
    half = Image.new("L", (32, 32))
    half.paste(255, (0, 0, 16, 32))
    half.save("half.png")
    half.resize((20, 20)).save("small-mask.png")
    y = np.zeros((3, 32, 32), np.float32)
    np.save("y.npy", y)
    np.save("shape.npy", y[:, :30])
    np.save("bytes.npy", y.astype(np.uint8))
    np.save("complex.npy", y.astype(np.complex64))
    np.save("nan.npy", np.where(np.arange(32) == 3, np.nan, y))
    np.save("objects.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez("archive.npz", y=y)
    (tmp_path / "archive.npz").rename("archive.npy")
    (tmp_path / "text.npy").write_text("not an array")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps({"w": Bomb()}))
    torch.save([torch.zeros(2)], "list.pt")
    torch.save({"w": torch.zeros(200)}, "unknown.pt")
    (tmp_path / "truncated.pt").write_bytes((tmp_path / "unknown.pt").read_bytes()[:900])
    (tmp_path / "home" / "priors").mkdir(parents=True)
    torch.save({"w": torch.zeros(2)}, "home/priors/ffhq_10m.pt")
    for name in ("no-config", "architecture", "nan-weights"):
        copy = tmp_path / name
        copy.mkdir()
        for file in tiny_prior.iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
    (tmp_path / "no-config" / "config.json").unlink()
    config = (tmp_path / "architecture" / "config.json").read_text()
    (tmp_path / "architecture" / "config.json").write_text(config.replace("UNet2DModel", "UNet2DConditionModel"))
    (tmp_path / "file").write_text("mine")
    return tmp_path


ARGUMENTS = [
    # files
    (["missing.png", *SIMULATE], 1, "missing.png does not exist: give a picture, a folder"),
    (["", *SIMULATE], 2, "is empty: give a value, or leave it out"),
    (["empty.png", *SIMULATE], 1, "empty.png is empty: give a PNG"),
    (["truncated.png", *SIMULATE], 1, "truncated.png is damaged"),
    (["text.png", *SIMULATE], 1, "text.png is not a picture: give a PNG"),
    (["folder", *SIMULATE], 1, "folder holds no picture: give a folder with .png"),
    (["bomb.png", *SIMULATE], 1, "too many to decode safely"),
    (["large.png", *SIMULATE], 1, "large.png is 40 x 50 pixels, and 32 x 32 are needed: choose --fit crop"),
    (["large.png", *SIMULATE, "--fit", "pad"], 1, "pad only adds pixels: choose --fit crop or resize"),
    (["large.png", *SIMULATE, "--fit", "stretch"], 2, "'stretch'"),
    ([], 2, "Missing argument"),
    # measurements
    (["shape.npy", *BLUR], 1, "shape.npy has shape (3, 30, 32): this measurement has (3, 32, 32)"),
    (["bytes.npy", *BLUR], 1, "bytes.npy holds uint8: give floating-point numbers on the [-1, 1] scale"),
    (["complex.npy", *BLUR], 1, "complex.npy holds complex64: give floating-point"),
    (["nan.npy", *BLUR], 1, "nan.npy holds NaN, infinity"),
    (["objects.npy", *BLUR], 1, "objects.npy is not a NumPy array of numbers (it holds Python objects)"),
    (["archive.npy", *BLUR], 1, "archive.npy"),
    (["text.npy", *BLUR], 1, "text.npy is not a NumPy array"),
    (["y.npy", *SIMULATE], 1, "y.npy is a measurement, and --simulate degrades pictures"),
    # masks
    (["face.png", "--mask", "small-mask.png"], 1, "small-mask.png is 20 x 20 pixels and face.png is 32 x 32"),
    (["face.png", "--mask", "white.png"], 1, "white.png is all white: nothing would be left to restore from"),
    (["face.png", "--mask", "black.png"], 1, "black.png is all black: there would be nothing to restore"),
    (["face.png", "--mask", "white.png", "--mask-invert"], 1, "white.png is all white: there would be nothing to"),
    (["face.png", "--mask", "missing.png"], 1, "missing.png cannot be read"),
    (["face.png", "--mask", "text.png"], 1, "text.png is not a picture"),
    (["face.png", "--mask", "half.png", *BLUR], 2, "give --operator SPEC or --mask FILE, not both"),
    (["face.png", *BLUR, "--mask-invert"], 2, "give --mask FILE too"),
    (["face.png", "--operator", "mask"], 2, "say what degraded the pictures: give --operator SPEC or --mask FILE"),
    # numbers
    (["face.png", *SIMULATE, "--noise", "-0.1"], 1, "noise is '-0.1': give sigma on the [-1, 1] scale, 0 to 10"),
    (["face.png", *SIMULATE, "--noise", "nan"], 1, "noise is 'nan'"),
    (["face.png", *SIMULATE, "--noise", "1e9"], 1, "noise is '1e9'"),
    (["face.png", *SIMULATE, "--noise", "1/0"], 1, "noise is '1/0'"),
    (["face.png", *SIMULATE, "--noise", "much"], 1, "noise is 'much'"),
    (["face.png", *SIMULATE, "--steps", "0"], 2, "--steps"),
    (["face.png", *SIMULATE, "--steps", "1001"], 1, "steps is 1001; this schedule has 1000 levels: give 1 to 1000"),
    (["face.png", *SIMULATE, "--steps", "many"], 2, "--steps"),
    (["face.png", *SIMULATE, "--samples", "0"], 2, "--samples"),
    (["face.png", *SIMULATE, "--seed", "-1"], 2, "--seed"),
    (["face.png", *SIMULATE, "--batch", "0"], 1, "--batch is '0': give auto or a number of images, at least 1"),
    # names and values
    (["face.png", *SIMULATE, "--prior", "faces-46"], 1, "no prior is called 'faces-46': there are faces-64"),
    (["face.png", *SIMULATE, "--sampler", "dsp"], 1, "no sampler is called 'dsp': there are dps"),
    (["face.png", *SIMULATE, "--sampler", "dps(scal=1)"], 1, "dps has no field 'scal': it has scale"),
    (["face.png", *SIMULATE, "--sampler", "dps(scale=big)"], 1, "scale takes a number, got 'big'"),
    (["face.png", *SIMULATE, "--sampler", "dps(scale=-1)"], 1, "scale is -1.0: give a finite number from 0 up"),
    (["face.png", *SIMULATE, "--sampler", "dps(steps=0)"], 1, "steps is 0: give at least 1"),
    (["face.png", *SIMULATE, "--sampler", "dps(scale=1"], 1, "this ( is never closed"),
    (["face.png", *SIMULATE, "--sampler", "sdedit(t_start=2000)"], 1, "t_start is 2000.0: give a time above 0"),
    (["face.png", "--operator", "gausian-blur"], 1, "no operator is called 'gausian-blur': there are gaussian-blur"),
    (["face.png", "--operator", "box-mask(size=1.5)"], 1, "size takes a whole number or none, got '1.5'"),
    (["face.png", "--operator", "box-mask(size=50)"], 1, "a box of 50 pixels"),
    (["face.png", "--operator", "downsample(factor=5)"], 1, "factor is 5: give a divisor"),
    (["face.png", "--operator", "dense"], 1, "dense holds an array"),
    (["face.png", *SIMULATE, "--device", "abacus"], 1, "device is 'abacus'"),
    (["face.png", *SIMULATE, "--device", "cuda:99"], 1, "device is 'cuda:99'"),
    (["face.png", *SIMULATE, "--dtype", "float8"], 1, "dtype is 'float8': give auto, float32"),
    (["face.png", *SIMULATE, "--frobnicate"], 2, "No such option"),
    # folders
    (["face.png", *SIMULATE, "--out", "file"], 1, "file cannot be written to"),
    (["face.png", *SIMULATE, "--out", "file/below"], 1, "file/below cannot be written to"),
    # checkpoints
    (["face.png", *SIMULATE, "--prior", "missing.pt"], 1, "missing.pt"),
    (["face.png", *SIMULATE, "--prior", "truncated.pt"], 1, "truncated.pt"),
    (["face.png", *SIMULATE, "--prior", "unknown.pt"], 1, "unknown.pt"),
    (["face.png", *SIMULATE, "--prior", "list.pt"], 1, "list.pt"),
    (["face.png", *SIMULATE, "--prior", "pickle.pt"], 1, "pickle.pt"),
    (["face.png", *SIMULATE, "--prior", "text.png"], 1, "text.png"),
    (["face.png", *SIMULATE, "--prior", "ffhq-256"], 1, "ffhq_10m.pt has"),
    (
        ["face.png", *SIMULATE, "--prior", "256x256_diffusion_uncond"],
        1,
        "`posteriori priors pull 256x256",
    ),
    (
        ["face.png", *SIMULATE, "--prior", "folder"],
        1,
        "is not a prior in diffusers' format",
    ),
    (["face.png", *SIMULATE, "--prior", "no-config"], 1, "it has no config.json"),
    (["face.png", *SIMULATE, "--prior", "architecture"], 1, "is a UNet2DConditionModel"),
    # sampling
    (["face.png", *SIMULATE, "--sampler", "dps(scale=1e38)"], 1, "DPS reached NaN or infinity at step"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), ARGUMENTS, ids=[" ".join(a) or "-" for a, _, _ in ARGUMENTS])
def test_restore_answers_with_one_line_and_writes_nothing(here, tiny_prior, posteriori, arguments, code, message):
    defaults = {"--prior": tiny_prior, "--out": "out", "--steps": 2}
    given = [part for name, value in defaults.items() if name not in arguments for part in (name, value)]
    if "steps=" in str(arguments):
        given = given[:-2]
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    answer = posteriori("restore", *given, *arguments, "--quiet")
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert answer.err.startswith("posteriori: ")
    after = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    own = {here / "out" / name for name in (".lock", "results.json", ".jobs/.batch.json")}
    assert {path: time for path, time in after.items() if path not in own} == before
    assert not (here / "exploded").exists()


def test_an_error_in_sampling_names_the_step_the_level_and_the_setting_to_lower(here, tiny_prior, posteriori):
    arguments = ["restore", "face.png", *SIMULATE, "--prior", tiny_prior, "--sampler", "dps(scale=1e38)", "--steps", 3]
    error = posteriori(*arguments, "-q").err
    levels = ("step 1 of 3 (t = 501, sigma = 0.96)", "step 2 of 3 (t = 1, sigma = 0.01)")  # as the noise has it
    assert any(f"at {level}: lower scale (now 1e+38)" in error for level in levels)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["denoise", "face.png", "--t", "1", "--sigma", "1"], 2, "by --t TIME or by --noise SIGMA, not both"),
        (["denoise", "face.png", "--simulate"], 2, "say how much, by --t TIME or --noise SIGMA"),
        (["denoise", "face.png", "--t", "1001"], 2, "--t is 1001: give a time above 0, up to 1000"),
        (["denoise", "face.png", "--t", "0"], 2, "--t is 0: give a time above 0"),
        (["denoise", "face.png", "--t", "nan"], 2, "--t is nan: give a time above 0"),
        (["denoise", "face.png", "--sigma", "0"], 2, "--noise is 0: there is nothing to remove"),
        (["denoise", "face.png", "--sigma", "-1"], 1, "noise is '-1'"),
        (["denoise", "missing.png", "--t", "100"], 1, "missing.png does not exist"),
        (["denoise", "nan.npy", "--t", "100"], 1, "nan.npy holds NaN"),
        (["sample", "-n", "0"], 2, "-n"),
        (["sample", "--sampler", "dmim"], 1, "no sampler is called 'dmim': there are ddim"),
        (["sample", "--steps", "5000"], 1, "steps is 5000; this schedule has 1000 levels"),
        (["sample", "--out", "file"], 1, "file cannot be written to"),
        (["restor", "face.png"], 2, "No such command 'restor'"),
    ],
)
def test_the_other_commands_do_too(here, tiny_prior, posteriori, arguments, code, message):
    prior = [] if arguments[0] == "restor" else ["--prior", tiny_prior, "-q"]
    answer = posteriori(*arguments, *prior)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def as_12_of_16_bits(path):
    Image.fromarray(np.full((32, 32), 4_000, np.uint16)).save(path)


def as_animation(path):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)


def as_turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (32, 32), "green").save(path, exif=exif)


@pytest.mark.parametrize(
    ("name", "write", "note"),
    [
        ("animated.webp", as_animation, "2 frames: the first was taken"),
        ("deep.png", as_12_of_16_bits, "was taken as black to white"),
        ("palette.png", lambda path: Image.new("P", (32, 32), 3).save(path), "converted from P to RGB"),
        ("alpha.png", lambda path: Image.new("RGBA", (32, 32), (9, 9, 9, 99)).save(path), "transparency was laid over"),
        ("cmyk.jpg", lambda path: Image.new("CMYK", (32, 32), (9, 9, 9, 9)).save(path), "converted from CMYK to RGB"),
        ("turned.jpg", as_turned, "turned as its EXIF says"),
    ],
)
def test_unusual_pictures_are_handled_and_the_manifest_says_how(restore, tmp_path, name, write, note):
    import json

    write(tmp_path / name)
    assert restore(tmp_path / name, "--operator", "identity", "--out", tmp_path / "out", "-q").code == 0
    notes = json.loads(next((tmp_path / "out").glob("*/manifest.json")).read_text())["input"]["notes"]
    assert any(note in found for found in notes)


def test_a_full_disk_leaves_nothing_half_written(here, restore):
    with full_disk(4000):
        answer = restore("face.png", *SIMULATE, "--out", "out", "-q")
    assert answer.code == 1
    assert answer.err.startswith("posteriori: ")
    assert len(answer.err.strip().splitlines()) == 1
    assert {path.name for path in (here / "out").iterdir()} <= {".lock", ".jobs", "results.json"}
    assert [path.name for path in (here / "out").glob(".jobs/*")] in ([], [".batch.json"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(restore, face, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    answer = restore(face, *SIMULATE, "--out", tmp_path / "out")
    assert answer.code == 1
    assert "cannot be written to" in answer.err


def test_a_bug_is_not_shown_as_a_mistake(monkeypatch, posteriori):
    def broken(*_, **__):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr("posteriori.settings.fields.class_fields", broken)
    answer = posteriori("samplers")
    assert answer.code == 1
    assert answer.err.startswith("posteriori: a bug, not your mistake: ValueError: operands could not")
    assert "--debug" in answer.err
    assert "Traceback" in posteriori("samplers", "--debug").err

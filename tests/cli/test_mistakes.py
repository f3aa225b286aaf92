"""What people type wrong, command by command: one line that says what was given and what is accepted, and an exit
code. ``restore`` is in test_bad_input.py."""

import json
import re
import socket

import pytest

LONG = "99999999999999999999"
ODD = "it's a\nname \U0001f4a5"
PRIOR = "no prior is called"
FILE = "cannot be written to (it is a file): give another folder with --out"
EMPTY = "is empty: give a value, or leave it out"
WHOLE = "give a whole number from 1 up"


@pytest.fixture
def here(tmp_path, monkeypatch, face, tiny_prior):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTERIORI_HOME", str(tmp_path / "home"))
    (tmp_path / "face.png").write_bytes(face.read_bytes())
    (tmp_path / ODD).write_text("nothing")
    (tmp_path / "prior").symlink_to(tiny_prior)
    for name in ("empty", "empty.png", "empty.toml", "empty.pt"):
        (tmp_path / name).touch()
    for name in ("folder", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(face.read_bytes())
    (tmp_path / "file").write_text("mine")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text(json.dumps({"size": "large"}))
    (tmp_path / "broken.toml").write_text("= 3")


MISTAKES = {
    "demo": [
        (["--prior", "faces-46"], PRIOR),
        (["--prior", ODD], r"it's a\nname 💥 holds more than tensors, or is not a checkpoint"),
        (["--prior", "folder"], "it has no config.json"),
        (["--image", "missing.png"], "missing.png cannot be read (No such file or directory): give a PNG"),
        (["--image", "folder"], "folder cannot be read (Is a directory): give a PNG"),
        (["--image", "empty.png"], "empty.png is empty: give a PNG"),
        (["--image", ODD], r"it's a\nname"),
        (["--image", ""], EMPTY),
        (["--samplers", "dsp"], "no sampler is called 'dsp': there are dps"),
        (["--samplers", "dps,,ddrm"], "no sampler is called ''"),
        (["--seed", "-1"], "--seed is '-1': give a whole number from 0 up"),
        (["--seed", "1.5"], "--seed is '1.5': give a whole number from 0 up"),
        (["--out", "file"], FILE),
        (["--device", "gpu"], "device is 'gpu', which torch cannot use here: give auto, cpu"),
        (["--dtype", "double"], "dtype is 'double': give auto, float32"),
        (["--steps", "3"], "No such option: --steps"),
    ],
    "denoise": [
        (["missing.png", "--t", "100"], "missing.png does not exist: give a picture"),
        (["empty.png", "--t", "100", "--prior", "prior"], "empty.png is empty"),
        (["folder", "--t", "100"], "folder holds no picture: give a folder with .png"),
        (["face.png", "--t", "many"], "--t is 'many': give a number"),
        (["face.png", "--t", "-5", "--prior", "prior"], "--t is -5: give a time above 0"),
        (["face.png", "--noise", "loud"], "noise is 'loud': give sigma on the [-1, 1] scale"),
        (["face.png", "--noise", "nan"], "noise is 'nan'"),
        (["face.png", "--noise", LONG], f"noise is '{LONG}'"),
        (["face.png", "--noise", ""], EMPTY),
        (["face.png", "--t", "100", "--noise", "0.1"], "by --t TIME or by --noise SIGMA, not both"),
        (["face.png", "--t", "100", "--fit", "stretch"], "--fit is 'stretch': give crop, pad, resize"),
        (["face.png", "--t", "100", "--region", "1,2,3", "--prior", "prior"], "give LEFT,TOP,WIDTH,HEIGHT in pixels"),
        (["face.png", "--t", "100", "--max-memory", "lots", "--prior", "photo"], "give a size like 4G or 500M"),
    ],
    "sample": [
        (["-n", "none"], "-n is 'none': give a whole number from 1 to 1000000"),
        (["-n", LONG], f"-n is '{LONG}': give a whole number from 1 to 1000000"),
        (["-n", "-3"], "-n is '-3'"),
        (["--steps", "0"], f"--steps is '0': {WHOLE}"),
        (["--steps", LONG, "--prior", "prior"], "this schedule has 1000 levels: give 1 to 1000"),
        (["--sampler", "ddmi"], "no sampler is called 'ddmi': there are ddim"),
        (["--sampler", "ddim(eta=2", "--prior", "prior"], "this ( is never closed"),
        (["--sampler", "ddim(eat=2)", "--prior", "prior"], "ddim has no field 'eat': it has eta"),
        (["--prior", "missing/x.pt"], "missing/x.pt is missing: give a guided-diffusion .pt file"),
        (["--prior", "empty.pt"], "empty.pt"),
        (["--prior", ""], EMPTY),
        (["--out", "file/below", "--prior", "prior"], "cannot be written to (Not a directory): give another folder"),
        (["picture.png"], "unexpected extra argument"),
    ],
    "sweep": [
        ([], "Missing argument 'sampler'"),
        (["dps"], "Missing option '--vary'"),
        (["dps", "--vary", "scale"], "give FIELD=LOW:HIGH:logN"),
        (["dps", "--vary", "scale=1:2"], "--vary"),
        (["dps", "--vary", "scale=1", "--vary", "scale=2"], "give one field or two different ones"),
        (["dsp", "--vary", "scale=1,2", "--prior", "prior"], "no sampler is called 'dsp'"),
        (["dps", "--vary", "scal=1,2", "--prior", "prior"], "dps has no field 'scal': it has"),
        (["dps", "--vary", "scale=1,2", "--holdout", "::2"], "--holdout chooses among --images"),
        (["dps", "--vary", "scale=1,2", "--images", "file", "--prior", "prior"], "is neither a folder nor a zip"),
        (["dps", "--vary", "scale=1,2", "--images", "folder", "--prior", "prior"], "folder holds no picture"),
        (["dps", "--vary", "scale=1,2", "--size", LONG], f"--size is '{LONG}': give a whole number from 1 to"),
        (["dps", "--vary", "scale=1,2", "--jobs", "0"], "--jobs is '0': give a whole number from 1 to 1024"),
        (["dps", "--vary", "scale=1,2", "--operator", "blurr", "--prior", "prior"], "no operator is called 'blurr'"),
    ],
    "report": [
        (["--prior", "faces"], PRIOR),
        (["--images", "missing.zip", "--prior", "prior"], "missing.zip is neither a folder nor a zip of images"),
        (["--images", "folder", "--prior", "prior"], "folder holds no picture"),
        (["--holdout", "::2"], "--holdout chooses among --images: give both, or neither"),
        (["--images", "pictures", "--holdout", "half", "--prior", "prior"], "give a slice of the sorted names"),
        (["--pictures", "0"], f"--pictures is '0': {WHOLE}"),
        (["--seeds", LONG], f"--seeds is '{LONG}': give a whole number from 1 to 100000"),
        (["--steps", "ten"], f"--steps is 'ten': {WHOLE}"),
        (["--timeout", "0"], "--timeout is '0': give a number from 1 up"),
        (["--executor", "slurm"], "slurm"),
        (["--checkpointing", "maybe"], "--checkpointing is 'maybe': give auto, on, off"),
        (["--batch", "-1"], "--batch is '-1': give auto or a number of images, at least 1"),
        (["--out", "file", "--prior", "prior"], FILE),
    ],
    "bench": [
        ([], "Missing argument 'suite'"),
        (["smoke"], "Missing argument 'pictures'"),
        (["smok", "astronaut"], "there is no suite 'smok': give one of"),
        (["empty.toml", "astronaut"], "empty.toml"),
        (["broken.toml", "astronaut"], "broken.toml"),
        (["folder", "astronaut"], "there is no suite 'folder'"),
        (["smoke", "missing.png", "--prior", "prior"], "cannot be read (No such file or directory): give a PNG"),
        (["smoke", "folder", "--prior", "prior"], "folder holds no picture"),
        (["smoke", "astronaut", "--prior", "folder"], "it has no config.json"),
        (["smoke", "astronaut", "--pictures", "all"], f"--pictures is 'all': {WHOLE}"),
        (["smoke", "astronaut", "--threads", LONG], f"--threads is '{LONG}': give a whole number from 1 to 4096"),
        (["smoke", "astronaut", "--lpips", "resnet"], "--lpips is 'resnet': give alexnet, vgg"),
    ],
    "compare": [
        ([], "Missing argument 'results'"),
        (["missing"], "missing has no results.parquet: give the finished output of `posteriori bench`"),
        (["folder"], "folder has no results.parquet"),
        (["file"], "file has no results.parquet"),
        (["folder", "folder"], "give each of the results once"),
        ([""], EMPTY),
        ([ODD], r"it's a\nname"),
        (["folder", "--by", "sampler"], "--by is 'sampler': give task"),
        (["folder", "--metric", "mse"], "--metric is 'mse': give psnr, ssim, lpips"),
        (["folder", "--metric"], "requires an argument"),
        (["folder", "--json"], "No such option: --json"),
    ],
    "verify": [
        (["--samplers", "dsp"], "no sampler is called 'dsp': there are dps"),
        (["--samplers", ""], EMPTY),
        (["--samplers", "ddim("], "ddim("),
        (["--seed", "x"], "--seed is 'x': give a whole number from 0 up"),
        (["--seed", "-1"], "--seed is '-1'"),
        (["--jobs", "many"], "--jobs is 'many': give a whole number from 1 to 1024"),
        (["--timeout", "soon"], "--timeout is 'soon': give a number from 1 up"),
        (["--quick", "--samplers", "ddim", "--out", "file"], FILE),
        (["--executor", "slurm", "--quick"], "slurm"),
        (["quick"], "unexpected extra argument"),
        (["--quik"], "No such option: --quik"),
    ],
    "train": [
        (["pictures"], "Missing option '--out'"),
        (["missing", "--out", "out"], "missing is neither a folder nor a zip of images: give one of those"),
        (["folder", "--out", "out"], "folder holds no picture: give one with .png"),
        (["face.png", "--out", "out"], "face.png is neither a folder nor a zip"),
        (["pictures", "--out", "file"], FILE),
        (["pictures", "--out", "out", "--config", "missing.json"], "missing.json cannot be read (No such file"),
        (
            ["pictures", "--out", "out", "--config", "folder"],
            "folder cannot be read (Is a directory): give a JSON file",
        ),
        (["pictures", "--out", "out", "--config", "broken.json"], "broken.json is not JSON"),
        (["pictures", "--out", "out", "--config", "other.json"], "size"),
        (["pictures", "--out", "out", "--images", "0"], f"--images is '0': {WHOLE}"),
        (["pictures", "--out", "out", "--threads", LONG], "give a whole number from 1 to 4096"),
        (
            ["pictures", "--out", "out", "--checkpoint-every", "nan"],
            "--checkpoint-every is 'nan': give a number from 0",
        ),
        (["pictures", "--out", "out", "--device", "gpu"], "device is 'gpu'"),
    ],
    "serve": [
        (["--port", "0"], "--port is '0': give a whole number from 1 to 65535"),
        (["--port", "http"], "--port is 'http': give a whole number from 1 to 65535"),
        (["--max-megapixels", "inf"], "--max-megapixels is 'inf': give a number from 0.01 to 10000"),
        (["--max-megapixels", "0"], "--max-megapixels is '0'"),
        (["--max-megabytes", LONG], "give a whole number from 1 to 1000000"),
        (["--max-queue", "-1"], "--max-queue is '-1': give a whole number from 0 up"),
        (["--max-minutes", "nan"], "--max-minutes is 'nan': give a number from 0.1 up"),
        (["--auth", "ann"], "--auth takes USER:PASSWORD"),
        (["--auth", ""], EMPTY),
        (["--prot", "80"], "No such option: --prot"),
        (["out"], "unexpected extra argument"),
    ],
    "priors": [
        (["lst"], "No such command 'lst'"),
        (["show", "ffhq"], PRIOR),
        (["show", "folder"], "it has no"),
        (["show", "file"], PRIOR),
        (["show", ""], EMPTY),
        (["show"], "Missing argument 'name'"),
        (["pull", "ffhq"], "no prior to download is called 'ffhq': there are ffhq-256"),
        (["pull", "faces-64"], "faces-64 comes with the package and needs no file"),
        (["pull", "ffhq-256", "--sha256", "abc"], "--sha256 is 'abc': give 64 hexadecimal digits"),
        (["add", "ffhq-256"], "Missing argument 'file'"),
        (["add", "ffhq-256", "missing.pt"], "missing.pt is missing: download it from"),
        (["add", "ffhq-256", "folder"], "folder is a folder: give the checkpoint in it"),
        (["add", "ffhq-256", "empty.pt"], "empty.pt has 0 bytes, expected 374,417,833"),
        (["add", "ffhq", "empty.pt"], "no prior to download is called 'ffhq'"),
        (["convert", "missing.pt", "new"], "missing.pt is missing: give a guided-diffusion .pt file"),
        (["convert", "folder", "new"], "folder is a folder: give a guided-diffusion .pt file"),
        (["convert", "empty.pt", "new"], "empty.pt is damaged or not a checkpoint"),
        (["convert", "file", "new"], "file"),
        (["convert", "file"], "Missing argument 'folder'"),
        (["evaluate", "prior"], "Missing option '--images'"),
        (["evaluate", "prior", "--images", "file"], "file is neither a folder nor a zip of images"),
        (["evaluate", "prior", "--images", "folder"], "folder holds no picture"),
        (["evaluate", "prior", "--images", "pictures"], "at least 2 are needed"),
        (["evaluate", "prior", "--images", "pictures", "--skip", "-1"], "--skip is '-1': give a whole number from 0"),
        (["evaluate", "prior", "--images", "pictures", "--holdout", "a"], "give a slice of the sorted names"),
        (["list", "all"], "unexpected extra argument"),
    ],
    "samplers": [(["dps"], "unexpected extra argument"), (["--jsn"], "No such option: --jsn")],
    "operators": [(["jpeg"], "unexpected extra argument"), (["--jsn"], "No such option: --jsn")],
    "": [(["restor"], "No such command 'restor'"), (["--frobnicate"], "No such option: --frobnicate")],
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line(here, posteriori, command):
    for arguments, message in MISTAKES[command]:
        answer = posteriori(*command.split(), *arguments)
        assert answer.code in (1, 2), arguments
        assert len(answer.err.strip().splitlines()) == 1, answer.err
        assert answer.err.startswith("posteriori: ")
        assert message in answer.err, arguments
        assert not re.search(r"a bug|\[Errno|Traceback", answer.err), answer.err


def test_a_port_that_is_in_use(posteriori):
    pytest.importorskip("gradio", reason="gradio is not installed: posteriori[web] has it")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = posteriori("serve", "--port", port)
    assert answer.code == 1
    said = rf"posteriori: 127\.0\.0\.1:{port} cannot be listened on \(.*\): give another --port or --host\n"
    assert re.fullmatch(said, answer.err)

import csv
import json

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from PIL import Image

from posteriori.cli import main
from posteriori.priors.folder import save_folder
from posteriori.priors.unet import PixelUNet
from posteriori.schedule import linear_betas
from posteriori.training.config import TrainConfig


@pytest.fixture(scope="module")
def tiny_prior(tmp_path_factory):
    """A random network of 32 x 32 pixels in a folder: the demo's plumbing without its minutes."""
    path = tmp_path_factory.mktemp("prior") / "tiny"
    torch.manual_seed(0)
    config = TrainConfig(size=32, channels=(8, 16), norm_groups=8)
    net = PixelUNet(UNet2DModel(**config.unet_config()), config.patch)
    save_folder(path, net, linear_betas(), prediction="epsilon", size=32, name="tiny", licence="none")
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["posteriori", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return stopped.value.code


def test_demo_writes_the_table_and_the_figures(tiny_prior, tmp_path, monkeypatch, capsys):
    out = tmp_path / "demo"
    assert run(monkeypatch, "demo", "--prior", tiny_prior, "--out", out) == 0
    rows = json.loads((out / "results.json").read_text())
    assert [list(row) for row in rows] == [["method", "task", "psnr", "ssim", "lpips", "nfe", "seconds"]] * len(rows)
    found = {(row["method"], row["task"]): row for row in rows}
    for task in ("inpainting", "deconvolution"):
        assert found["sdedit", task]["nfe"] == 126  # 250 of 1000 levels, from t* = 500 down
        assert found["dps", task]["nfe"] == found["scoreald", task]["nfe"] == 250
    assert found["single-pass", "denoising, t = 100"]["nfe"] == 1
    assert found["ddim", "unconditional sample"]["psnr"] is None
    with (out / "results.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == [row["method"] for row in rows]
    pictures = [out / f"{name}.png" for name in ("inpainting", "deconvolution", "denoising", "sample")]
    tables = [out / name for name in ("results.csv", "results.json", "settings.json")]
    assert sorted(out.iterdir()) == sorted([*pictures, *tables])
    for picture in pictures:
        Image.open(picture).verify()
    shown = capsys.readouterr()
    assert "250 of 1000 steps" in shown.out
    assert "no preset of dps was measured" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["demo", "--prior", "faces-46"], 1, "no prior is called 'faces-46'"),
        (["demo", "--image", "missing.png"], 1, "missing.png"),
        (["demo", "--dtype", "float8"], 1, "dtype is 'float8'"),
        (["demo", "--device", "abacus"], 1, "device is 'abacus'"),
        (["demo", "--steps", "3"], 2, "No such option"),
        (["train", "missing", "--out", "{tmp}/run"], 1, "neither a folder nor a zip"),
        (["priors", "show", "ffhq"], 1, "no prior is called 'ffhq'"),
        (["priors", "convert", "missing.pt", "{tmp}/x"], 1, "missing.pt"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *(a.format(tmp=tmp_path) for a in arguments)) == code
    error = capsys.readouterr().err
    assert message in error
    if code == 1:
        assert len(error.strip().splitlines()) == 1
    assert "Traceback" not in error


def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "out").write_text("mine")
    assert run(monkeypatch, "demo", "--out", tmp_path / "out") == 1
    assert "cannot be written to" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_debug_shows_the_traceback(tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--debug", "demo", "--out", tmp_path, "--image", "missing.png") == 1
    assert "Traceback" in capsys.readouterr().err

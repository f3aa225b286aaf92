import csv
import json

import pytest
from PIL import Image

from posteriori.settings import presets
from posteriori.studies.engine import work


def test_demo_writes_the_table_and_the_figures(tiny_prior, tmp_path, posteriori, monkeypatch):
    out = tmp_path / "demo"
    assert presets.DEFAULT_STEPS == 250
    monkeypatch.setattr(presets, "DEFAULT_STEPS", 50)
    shown = posteriori("demo", "--prior", tiny_prior, "--out", out)
    assert shown.code == 0
    rows = json.loads((out / "results.json").read_text())
    assert [list(row) for row in rows] == [["method", "task", "psnr", "ssim", "lpips", "nfe", "seconds"]] * len(rows)
    found = {(row["method"], row["task"]): row for row in rows}
    for task in ("inpainting", "deconvolution"):
        assert found["sdedit", task]["nfe"] == 26  # 50 of 1000 levels, from t* = 500 down
        assert found["dps", task]["nfe"] == found["scoreald", task]["nfe"] == 50
    assert found["single-pass", "denoising, t = 100"]["nfe"] == 1
    assert found["ddim", "unconditional sample"]["psnr"] is None
    with (out / "results.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == [row["method"] for row in rows]
    pictures = [out / f"{name}.png" for name in ("inpainting", "deconvolution", "denoising", "sample")]
    tables = [out / name for name in ("results.csv", "results.json", "settings.json")]
    assert sorted(out.glob("[!.]*")) == sorted([*pictures, *tables, out / "runs", out / "plan.json"])
    for picture in pictures:
        Image.open(picture).verify()
    assert "50 of 1000 steps" in shown.out
    assert "no preset of dps was measured" in shown.err
    before = {path: path.read_bytes() for path in (*pictures, *tables)}
    monkeypatch.setattr(work, "sample", None)  # nothing is drawn again
    assert posteriori("demo", "--prior", tiny_prior, "--out", out).code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_demo_compares_any_samplers_at_their_papers_steps(tiny_prior, tmp_path, posteriori):
    out = tmp_path / "demo"
    assert posteriori("demo", "--prior", tiny_prior, "--out", out, "--samplers", "ddrm,pigdm").code == 0
    rows = json.loads((out / "results.json").read_text())
    methods = [(row["method"], row["nfe"]) for row in rows if row["task"] == "inpainting"]
    assert methods == [("measurement", 0), ("ddrm", 20), ("pigdm", 100)]
    with Image.open(out / "inpainting.png") as picture:
        assert picture.width > 4 * 192


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["demo", "--prior", "faces-46"], 1, "no prior is called 'faces-46'"),
        (["demo", "--image", "missing.png"], 1, "missing.png"),
        (["demo", "--dtype", "float8"], 1, "dtype is 'float8'"),
        (["demo", "--device", "abacus"], 1, "device is 'abacus'"),
        (["demo", "--steps", "3"], 2, "No such option"),
        (["demo", "--samplers", "dsp"], 1, "no sampler is called 'dsp': there are dps"),
        (["demo", "--samplers", "dps(scale=1)"], 1, "no sampler is called 'dps(scale=1)'"),
        (["demo", "--samplers", "ddim"], 2, "ddim draws from the prior alone, which the demo does anyway"),
        (["train", "missing", "--out", "{tmp}/run"], 1, "neither a folder nor a zip"),
        (["priors", "show", "ffhq"], 1, "no prior is called 'ffhq'"),
        (["priors", "convert", "missing.pt", "{tmp}/x"], 1, "missing.pt"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(tmp_path, monkeypatch, posteriori, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    answer = posteriori(*(a.format(tmp=tmp_path) for a in arguments))
    assert answer.code == code
    assert message in answer.err
    assert len(answer.err.strip().splitlines()) == 1
    assert "Traceback" not in answer.err


def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(tmp_path, posteriori):
    (tmp_path / "out").write_text("mine")
    answer = posteriori("demo", "--out", tmp_path / "out")
    assert answer.code == 1
    assert "cannot be written to" in answer.err
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("place", [0, 1, 5])
def test_debug_shows_the_traceback_wherever_it_stands(tmp_path, posteriori, place):
    arguments = ["demo", "--out", tmp_path, "--image", "missing.png"]
    answer = posteriori(*arguments[:place], "--debug", *arguments[place:])
    assert answer.code == 1
    assert "Traceback" in answer.err


def test_quiet_prints_nothing(tiny_prior, tmp_path, posteriori):
    answer = posteriori("demo", "--prior", tiny_prior, "--out", tmp_path / "demo", "--samplers", "ddrm", "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, "", "")

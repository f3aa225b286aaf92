"""``posteriori bench`` from end to end on a tiny network of random weights, and what a suite's file may not say."""

import csv
import re

import pytest
from tests.cli.conftest import random_prior

from posteriori.cli import main
from posteriori.errors import PosterioriError
from posteriori.studies.suite.suite import Task, names, read


@pytest.fixture
def bench(monkeypatch, tmp_path):
    def command(*arguments):
        monkeypatch.setattr(
            "sys.argv", ["posteriori", "bench", *map(str, arguments), "-q", "--out", str(tmp_path / "out")]
        )
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, tmp_path / "out"

    return command


def test_the_suite_of_the_field_runs_on_random_weights(bench, tmp_path):
    """At 64 pixels, in one step: every task with every sampler, the published rows beside them."""
    prior = random_prior(tmp_path / "tiny", attention=True, size=64)
    arguments = ("ffhq-256", "astronaut", "coffee", "--prior", prior, "--pictures", 1, "--steps", 1)
    code, out = bench(*arguments)
    assert not code
    rows = list(csv.DictReader((out / "bench.csv").read_text("utf-8").splitlines()))
    suite = read("ffhq-256")
    assert {row["task"] for row in rows} == {task.name for task in suite.tasks}
    assert all(row["pictures"] == "1" and row["psnr"] for row in rows)
    assert {row["operator"].partition("(")[0] for row in rows} == {t.operator.partition("(")[0] for t in suite.tasks}
    text = (out / "bench.md").read_text("utf-8")
    assert text.count(", published |") == len(suite.published)
    assert "its published rows are about that prior" in text
    written = {path.name: path.stat().st_mtime_ns for path in (out / "runs").glob("*.npz")}
    assert len(written) == len(rows)
    assert not bench(*arguments)[0]  # goes on: nothing is computed again
    assert {path.name: path.stat().st_mtime_ns for path in (out / "runs").glob("*.npz")} == written


def test_pixels_shrink_with_the_picture():
    suite = read("ffhq-256")
    at = lambda text, side: suite.operator(Task("", "", text, "0.05"), (3, side, side))  # noqa: E731
    assert at("box-mask(size={128})", 256) == "box-mask(size=128)"
    assert at("box-mask(size={128})", 64) == "box-mask(size=32)"
    assert at("gaussian-blur(sigma={3.0}, size={61})", 64) == "gaussian-blur(sigma=0.75, size=15)"


@pytest.mark.parametrize("name", names())
def test_suites_can_be_read(name):
    suite = read(name)
    assert suite.tasks
    assert suite.entries


BAD = [
    ('prior = "x"', "lacks"),
    ("[[task", "is no TOML"),
    ('[[task]]\nname = "a"\nlabel = "a"\noperator = "identity"\nnoise = "0.1"\nsigma = 1', "has 'sigma'; it has name"),
    ('[[sampler]]\nsampler = "ddrm"\nsource = ""\non = ["b"]', "has no task 'b'"),
    ('[[sampler]]\nsampler = "dppm"\nsource = ""', "no sampler"),
    ('[[task]]\nname = "a"\nlabel = "a"\noperator = "blurr"\nnoise = "0.1"', "no operator"),
    ('[[task]]\nname = "a"\nlabel = "a"\noperator = "identity"\nnoise = "loud"', "noise is 'loud'"),
]
HEAD = 'about = ""\nprior = "faces-64"\nsize = 64\npictures = 1\nseeds = 1\n'


@pytest.mark.parametrize(("content", "message"), BAD)
def test_a_suite_that_cannot_be_is_one_line(tmp_path, content, message):
    file = tmp_path / "mine.toml"
    file.write_text(content if content.startswith("prior") else HEAD + content)
    with pytest.raises(PosterioriError, match=re.escape(message)) as raised:
        read(str(file))
    assert "\n" not in str(raised.value)
    with pytest.raises(PosterioriError, match="there is no suite 'ffqh': give one of ffhq-256, smoke, or a TOML file"):
        read("ffqh")

"""``posteriori compare`` on results whose differences are known."""

import csv
import re

import numpy as np
import pytest

from posteriori.cli import main
from posteriori.errors import PosterioriError
from posteriori.jobs.store import Files
from posteriori.studies.comparison.results import Measured, Task, read
from posteriori.studies.comparison.statistics import best, differences, front, holm, overall, p_value, ranks
from posteriori.studies.engine.plan import Run
from posteriori.studies.suite.parquet import RESULTS, write_parquet
from posteriori.studies.suite.run import Cell, Row
from posteriori.studies.suite.suite import Entry
from posteriori.studies.suite.suite import Task as SuiteTask

pytest.importorskip("pyarrow", reason="pyarrow is not installed: posteriori[cluster] has it")
#: what each method adds to a picture's own difficulty, and its network calls
METHODS = {
    "ddrm(steps=20)": (0.0, 20),
    "dps(scale=1.0)": (0.5, 100),
    "dps(scale=2.0)": (-1.0, 100),
    "sitcom": (0.5, 400),
}


def written(where, methods=METHODS, n=12, tasks=("box", "blur"), more=0.0):
    """A suite's results: PSNR of ``n`` pictures, of which sitcom diverges on the first."""
    rng, rows = np.random.default_rng(0), []
    images = tuple((f"{i}.png", f"{i:064}") for i in range(n))
    for name in tasks:
        difficulty = rng.normal(25, 3, n)
        for method, (gain, calls) in methods.items():
            own = Run(("tiny", "0"), (3, 8, 8), method, "identity", 0.05, images, (0, 1), 4)
            psnr = np.repeat(difficulty + gain + more + rng.normal(0, 0.1, n), 2)
            psnr[: 2 * (method == "sitcom")] = np.nan
            cell = Cell(SuiteTask(name, name, "identity", "0.05"), Entry(method, ""), own)
            rows.append(Row(cell, {"psnr": psnr, "residual": np.ones(2 * n)}, calls))
    Files(where).put(RESULTS, lambda file: write_parquet("mine", rows, file))
    return str(where)


def test_differences_are_paired_and_what_is_sure_is_marked(tmp_path):
    found = read([written(tmp_path / "a")], "psnr")
    assert [task.name for task in found.tasks] == ["box", "blur"]
    labels = [own.label for own in found.tasks[0].methods]
    assert labels == ["ddrm", "dps(scale=1.0)", "dps(scale=2.0)", "sitcom"]
    pairs = {(own.first.label, own.second.label): own for own in differences(found.tasks[:1], "psnr")}
    assert len(pairs) == 6
    gained, none = pairs["ddrm", "dps(scale=1.0)"], pairs["dps(scale=1.0)", "sitcom"]
    assert gained.estimate.mean == pytest.approx(0.5, abs=0.15)
    assert gained.estimate.low < 0.5 < gained.estimate.high
    assert gained.sure
    assert gained.p == pytest.approx(2 / 2**12)  # every one of twelve signs is the same
    assert none.estimate.n == 11
    assert not none.sure
    assert found.tasks[0].methods[3].diverged == 1
    lower = differences(found.tasks[:1], "lpips")[0]
    assert lower.estimate.mean == pytest.approx(-gained.estimate.mean)


def test_holms_correction_is_that_of_his_paper():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_false_stars_are_as_rare_as_said():
    """100 pages of 6 pairs among 4 methods that do not differ: 5 have a star, give or take."""
    rng, pages = np.random.default_rng(1), 0
    for _ in range(100):
        values = rng.normal(25, 1, (4, 10))
        pages += min(holm([p_value(values[j] - values[i]) for i in range(4) for j in range(i)])) < 0.05
    assert pages <= 12  # more in one of 500 such trials, at 5%


def measured(label, calls, *values):
    return Measured(label, label, "", calls, np.array(values, float))


def test_ranks_fronts_and_the_mean_over_tasks():
    a, b, c = measured("a", 10, 1, 2, 3), measured("b", 20, 2, 3, np.nan), measured("c", 30, 0, 1, 2)
    task = Task("one", "", 0.0, ("x", "y", "z"), (a, b, c))
    assert [own.mean for own in ranks(task, "psnr")] == pytest.approx([5 / 3, 5 / 3, 8 / 3])
    assert [own.mean for own in ranks(task, "lpips")] == pytest.approx([2, 3, 1])
    assert [own.label for own in front(task, "psnr")] == ["a", "b"]
    assert [own.label for own in front(task, "lpips")] == ["a", "c"]
    assert best(task, "psnr") is b
    other = Task("two", "", 0.0, ("w", "y", "z"), (measured("c", 50, 9, 3, 4), measured("a", 30, 9, 4, 5)))
    both = overall([task, other])
    assert both.pictures == ("y", "z")
    assert {own.label: (own.calls, own.values.tolist()) for own in both.methods} == {
        "a": (20, [3, 4]),
        "c": (40, [2, 3]),
    }


@pytest.mark.parametrize("by", [[], ["--by", "task"]])
def test_two_results_stand_side_by_side(tmp_path, monkeypatch, capsys, by):
    places = [written(tmp_path / "old"), written(tmp_path / "new", more=0.3)]
    words = ["posteriori", "compare", *places, *by, "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    text = capsys.readouterr().out
    beside = re.search(r"\| ddrm \[new\] \| (.*?) \| .* \| old \| .* \| \+0\.(\d+) \[.*\]( \*)? \|", text)
    assert beside[1] == ("box" if by else "all tasks")
    assert int(beside[2]) == pytest.approx(30, abs=15)
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("data:image/png;base64,") == (4 if by else 2)
    assert 'src="http' not in page
    rows = list(csv.DictReader((tmp_path / "out" / "differences.csv").read_text().splitlines()))
    assert len(rows) == 28 * (2 if by else 1)
    latex = (tmp_path / "out" / "compare.tex").read_text()
    assert latex.count("\\begin{tabular}") == latex.count("\\end{tabular}") == (3 if by else 2)
    assert "\\textbf{" in latex


def test_what_cannot_be_compared_is_one_line(tmp_path):
    one = written(tmp_path / "one")
    alone = written(tmp_path / "alone", {"ddrm(steps=20)": (0.0, 20)})
    for places, metric, message in (
        ([str(tmp_path)], "psnr", "has no results.parquet: give the finished output of `posteriori bench`"),
        ([alone], "psnr", "there is nothing to compare: no task in"),
        ([one, one], "psnr", "give each of the results once"),
        ([one], "lpips", "lpips was not measured on box: give another --metric"),
    ):
        with pytest.raises(PosterioriError, match=message):
            read(places, metric)
    (tmp_path / "one" / RESULTS).write_bytes(b"PAR1")
    with pytest.raises(PosterioriError, match="is not a result of a suite"):
        read([one], "psnr")

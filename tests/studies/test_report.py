"""The report: its tables the same from two processes; its page; and bad input."""

import csv
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.cli.conftest import random_prior

from posteriori.cli.experiment import campaign
from posteriori.jobs.executors import executor_of
from posteriori.jobs.lock import claimed_folder
from posteriori.studies.engine.execute import Loader
from posteriori.studies.engine.store import LOG
from posteriori.studies.report import experiment as reproduction
from posteriori.studies.report import page
from posteriori.studies.report.plan import Scope, second_round


def small(prior, out, n=1):
    """A report of seconds."""
    scope = Scope(reported=4, tuning=2, steps=6, ladder=(6, 12), ddim=6, fewer=2)
    with campaign(out, Loader(str(prior), threads=1), 2, executor_of(n=n), True) as run:
        page.write(reproduction.reproduce(run, None, scope, (0,)), out, command=["report"])


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    return random_prior(tmp_path_factory.mktemp("prior") / "tiny", attention=False)


@pytest.fixture(autouse=True, scope="module")
def few_steps():
    """For the prior's own samples, which half of the time would go into."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduction, "_SAMPLE_STEPS", 4)
        yield


@pytest.fixture(scope="module")
def whole(prior, few_steps, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    small(prior, out)
    return out


def files(out, *folders):
    return {path.relative_to(out): path.read_bytes() for folder in folders for path in (out / folder).rglob("*.*")
            if path.name not in (LOG, "timings.csv")}  # fmt: skip


def test_two_processes_make_the_same_tables(prior, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "draw", lambda *_: {})
    monkeypatch.setattr(page, "_sections", lambda *_: [])
    small(prior, tmp_path, 2)
    assert files(tmp_path, "tables", "runs") == files(whole, "tables", "runs")
    assert len(list((tmp_path / "tables").glob("*.csv"))) == 8
    ends = [json.loads(line) for line in (tmp_path / "runs" / LOG).read_text().splitlines()]
    ends = [e for e in ends if e["event"] == "end"]
    assert len({e["pid"] for e in ends}) == 2
    assert len({e["job"] for e in ends}) == len(ends) == len(list((tmp_path / "runs").glob("*.npz")))


class Page(HTMLParser):
    """What a page has: tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_no_other_file_and_says_what_its_pictures_show(whole):
    html = Page((whole / "index.html").read_text())
    images = [attributes for tag, attributes in html.tags if tag == "img"]
    assert len(images) == len(list((whole / "figures").glob("*.png"))) == len(list((whole / "figures").glob("*.pdf")))
    assert all(each["src"].startswith("data:image/png;base64,") and each["alt"] for each in images)
    assert not [tag for tag, a in html.tags if tag == "link" or (tag == "script" and "src" in a)]
    assert "Table 1" in html.text
    for number in range(1, 9):
        assert f"Figure {number}." in html.text


def test_every_figure_of_report_md_is_there(whole):
    text = (whole / "report.md").read_text()
    names = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(names) == 18
    assert all((whole / name).is_file() for name in names)


def test_table_1_has_the_manifests_metrics(whole):
    manifests = json.loads((whole / "manifests.json").read_text())
    with (whole / "tables" / "table-1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    for row in rows[1:]:
        run = [m for m in manifests.values() if len(m["rows"]) == 4 and m["settings"]["method"] == row["sampler"]
               and ("box" in m["settings"]["operator"]) == (row["task"] == "inpainting")]  # fmt: skip
        assert float(row["psnr"]) == pytest.approx(np.mean([r["psnr"] for r in run[0]["rows"]]))


def test_the_same_noise_lies_under_every_scaling(whole):
    """All four see one measurement of each picture, and one sampler's stream."""
    manifests = json.loads((whole / "manifests.json").read_text())
    with (whole / "tables" / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scaling"] for row in rows] == 2 * ["unit", "norm", "linear", "square"]
    assert {row["runs"] for row in rows} == {"5"}
    shared = [m["settings"]["seeds"] for m in manifests.values() if m["settings"]["images"]]
    assert all(seeds == [0] for seeds in shared)


def test_the_search_goes_further_where_the_best_is_at_an_end_and_finer_where_it_is_not():
    assert second_round(1.0) == (2.0, 3.0)
    assert second_round(-1.0) == (-2.0, -3.0)
    assert second_round(0.0) == (-0.5, 0.5)


def test_a_second_report_on_the_same_folder_is_refused_with_the_firsts_process(prior, tmp_path):
    refused = rf"is being written by another posteriori command \(process {os.getpid()}\)"
    with claimed_folder(tmp_path), pytest.raises(OSError, match=refused):
        small(prior, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]

"""What a command left in its folder and resumes from: manifests, results, notes; and suites' results in Parquet."""

import io
import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from posteriori.images.files import load_image, save_image
from posteriori.jobs.store import RESULTS, Result, Store
from posteriori.restore.budget import within
from posteriori.restore.manifest import MANIFEST
from posteriori.restore.plans import plans
from posteriori.restore.request import Request
from posteriori.restore.run import restore
from posteriori.restore.summary import write_summary
from posteriori.studies.comparison.results import read
from posteriori.studies.comparison.statistics import differences, overall
from posteriori.studies.suite.parquet import RESULTS as PARQUET
from tests.fuzz.contract import JUNK, altered, contract, damaged, fuzz
from tests.fuzz.test_folders import written


class Never:
    """Stands where work would be begun."""

    def __call__(self, *_):
        raise AssertionError("there was nothing to do")


@cache
def begun():
    """A folder in which a picture was restored, and what did it: (out, restoration, sources)."""
    folder = Path(mkdtemp())
    save_image(load_image("astronaut", size=16), folder / "face.png")
    prior = str(written(folder))
    request = Request(
        (str(folder / "face.png"),),
        operator="identity",
        noise="0.05",
        sampler="ddim",
        prior=prior,
        steps=2,
    )
    ((restoration, sources),), _ = plans(request, folder / "out", Never(), Never())
    again(folder / "out", restoration, sources)
    return folder / "out", restoration, sources


def again(out, restoration, sources):
    told = []
    quiet = {"announce": lambda *_: None, "report": lambda _: None, "told": told.append}
    restore([(restoration, sources)], out, overwrite=False, **quiet)
    return told


def copied(folder: str) -> Path:
    out = Path(folder, "out")
    shutil.copytree(begun()[0], out)
    return out


@pytest.mark.parametrize("name", [f"face/{MANIFEST}", f"{RESULTS}/.batch.json"])
@fuzz(data=st.data())
def test_a_folder_to_go_on_in(name, data):
    out, restoration, sources = begun()
    sound = (out / name).read_bytes()
    changed = st.one_of(damaged([sound]), altered(json.loads(sound)).map(lambda values: json.dumps(values).encode()))
    with TemporaryDirectory() as folder:
        own = copied(folder)
        (own / name).write_bytes(data.draw(changed))
        with contract():
            told = again(own, restoration, sources)
            assert [outcome.error for outcome in told] == [None]
        with contract():
            write_summary(own)


@fuzz(values=altered({"for": {"seconds": 60.0, "sources": ["face"]}, "steps": 3, "quick": False}))
def test_steps_that_were_kept(values):
    _, restoration, sources = begun()
    with TemporaryDirectory() as folder:
        path = Path(folder, RESULTS, ".time", "face.json")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
        with contract():
            assert within(restoration, sources, 60.0, Path(folder), free=False).steps >= 1


class Job:
    key, settings = "0123456789abcdef", {"a": 1}


@cache
def result() -> bytes:
    with TemporaryDirectory() as folder:
        Store(folder).write(Job(), Result({"calls": 3}, {"x": np.arange(12.0)}))
        return Path(folder, f"{Job.key}.npz").read_bytes()


@fuzz(data=st.data())
def test_results_of_jobs(data):
    """One that is damaged is set aside, and counts as not there."""
    changed = data.draw(damaged([result()], first=2000))
    with TemporaryDirectory() as folder:
        Path(folder, f"{Job.key}.npz").write_bytes(changed)
        with contract():
            found = Store(folder).read(Job())
            assert found is None or (found.values, found.arrays["x"].tolist()) == ({"calls": 3}, list(range(12)))
            assert found or list(Path(folder).glob("*.damaged-*"))


ROWS = {
    "posteriori": ["0"] * 8,
    "suite": ["mine"] * 8,
    "task": ["box", "blur"] * 4,
    "prior": ["tiny"] * 8,
    "operator": ["identity"] * 8,
    "method": ["a", "a", "b", "b"] * 2,
    "sha256": ["1"] * 4 + ["2"] * 4,
    "sigma": [0.05] * 8,
    "calls": [10] * 8,
    "counts": [True] * 8,
    "psnr": [20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0, 27.5],
}


def parquet(rows: dict) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(rows), file)
    return file.getvalue()


@st.composite
def tables(draw) -> bytes:
    """Columns that are missing, of other kinds, or hold nothing."""
    rows, n = dict(ROWS), draw(st.sampled_from([8, 8, 8, 0, 1]))
    for name in draw(st.lists(st.sampled_from(sorted(ROWS)), max_size=2)):
        kind = draw(st.sampled_from(["none", "text", "number", "nan", "list", "drop"]))
        rows.pop(name, None)
        values = {"none": None, "text": "x\n\x1b[0m", "number": -3, "nan": float("nan"), "list": [1]}
        if kind != "drop":
            rows[name] = [values[kind] if draw(st.booleans()) or kind == "list" else None] * 8
    return parquet({name: values[:n] for name, values in rows.items()})


@fuzz(data=st.one_of(damaged([parquet(ROWS)], first=4000), tables()))
def test_results_in_parquet(data):
    with TemporaryDirectory() as folder, contract():
        Path(folder, PARQUET).write_bytes(data)
        found = read([folder], "psnr")
        differences(found.tasks, "psnr")
        overall(found.tasks)


def test_sound_results_are_compared(tmp_path):
    (tmp_path / PARQUET).write_bytes(parquet(ROWS))
    assert [task.name for task in read([str(tmp_path)], "psnr").tasks] == ["box", "blur"]


@fuzz(line=st.one_of(st.binary(max_size=30), JUNK.map(lambda value: json.dumps(value).encode())))
def test_logs_of_jobs(line):
    from posteriori.jobs.progress import seconds_taken

    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "log.jsonl")
        path.write_bytes(b'{"job": "a", "event": "end", "seconds": 2.0}\n' + line + b"\n")
        assert seconds_taken(path).get("a") == 2.0

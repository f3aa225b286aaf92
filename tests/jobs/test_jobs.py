"""Jobs, their names, their results in a folder or at a URL, and who does them."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.jobs.squares import Cube, Square, Unknown, work

from posteriori.jobs.executor import Event
from posteriori.jobs.executors import EXECUTORS, Serial, executor_of
from posteriori.jobs.faults import JobsFailed, out_of_memory
from posteriori.jobs.processes import Processes
from posteriori.jobs.progress import Board, log, seconds_taken, shown, together
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Files, Result, Store


class Backwards:
    """An executor as a contributor would write it: one class with one method, and a line that registers it."""

    def __init__(self, n, timeout=None):
        self.n = n

    def run(self, jobs, do, report):
        jobs = list(jobs)[::-1]
        threads = [threading.Thread(target=Serial().run, args=(jobs[i :: self.n], do, report)) for i in range(self.n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.fixture
def jobs():
    return [Square((i, i + 1)) for i in range(5)]


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path):
    return tmp_path / "results" if request.param == "folder" else f"memory://{uuid.uuid4().hex}/results"


def test_every_setting_is_in_a_jobs_name_and_nothing_else_is(monkeypatch):
    job = Square((1, 2))
    others = [Square((2, 1)), Square((1, 2, 3)), Square((1, 2), "raises"), Cube((1, 2))]
    assert len({each.key for each in [job, *others]}) == 5
    assert replace(job).key == job.key
    assert job.settings == json.loads(json.dumps(job.settings))
    monkeypatch.setattr("posteriori.jobs.key.__version__", "0.0.0")
    assert replace(job).key != job.key


def test_a_result_comes_back_as_it_was_and_is_there_for_its_own_job_alone(place):
    store, job = Store(place), Square((3, 4))
    assert store.read(job) is None
    store.write(job, work(job, lambda *_: None))
    found = Store(place).read(job)
    assert found.values["sum"] == 25
    assert np.isnan(found.values["worst"])
    assert found.arrays["x"].tolist() == [9, 16]
    assert not store.done(Cube((3, 4)))
    store.write(job, Result({"sum": 0.0}))
    assert store.read(job).values == {"sum": 0.0}


def test_results_of_earlier_versions_are_read(tmp_path):
    """Files call the values figures: the name in the code has changed, that in files has not."""
    job = Square((3, 4))
    about = np.array(json.dumps({"settings": job.settings, "figures": {"sum": 25}}))
    np.savez_compressed(tmp_path / f"{job.key}.npz", about=about, x=np.array([9, 16]))
    found = Store(tmp_path).read(job)
    assert (found.values, found.arrays["x"].tolist()) == ({"sum": 25}, [9, 16])


def test_what_cannot_be_written_is_not_there_and_what_was_there_stays(place):
    files = Files(place)
    files.put("a", lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half")
        raise RuntimeError

    for name in ("a", "b"):
        with pytest.raises(RuntimeError):
            files.put(name, fail)
    assert files.get("a") == b"old"
    assert [name.rpartition("/")[2] for name in files.fs.ls(files.root, detail=False)] == files.names() == ["a"]
    files.rename("a", "b")
    assert (files.has("a"), files.get("b")) == (False, b"old")


@pytest.mark.parametrize(
    "harm",
    [lambda own, other: b"", lambda own, other: own[:-30], lambda own, other: other,
     lambda own, other: own.replace(b"\x10", b"\x11"), lambda own, other: b"PK"],
)  # fmt: skip
def test_a_damaged_result_is_set_aside_named_and_done_again(place, harm):
    jobs, said = [Square((1, 16)), Square((2,))], []
    store = Store(place, said.append)
    run(jobs, work, store, Serial())
    own, other = (store.files.get(f"{job.key}.npz") for job in jobs)
    store.files.put(f"{jobs[0].key}.npz", lambda file: file.write(harm(own, other)))
    assert missing(jobs, store) == jobs[:1]
    assert len(said) == 1
    assert jobs[0].key in said[0]
    run(jobs[:1], work, store, Serial())
    assert store.files.get(f"{jobs[0].key}.npz") == own
    assert len(store.files.fs.ls(store.files.root)) == 3


def test_what_an_earlier_version_left_is_said_and_not_taken(place, jobs):
    Files(place).put(f"{jobs[0].key}.json", lambda file: file.write(b"{}"))
    said = []
    assert missing(jobs, Store(place, said.append)) == jobs
    assert said == [f"{place} holds results of an earlier version, which are not taken"]


def test_jobs_are_done_once_and_only_where_their_results_are_missing(place, jobs):
    store = Store(place)
    assert missing([*jobs, *jobs], store) == jobs
    run(jobs[:2], work, store, Serial())
    assert missing(jobs, store) == jobs[2:]


@pytest.mark.parametrize(("name", "n"), [(None, 1), (None, 2), ("processes", 2), ("backwards", 2)])
def test_every_executor_gives_the_same_results_and_reports_them(tmp_path, jobs, name, n, monkeypatch):
    monkeypatch.setitem(EXECUTORS, "backwards", Backwards)
    events, alone, store = [], Store(tmp_path / "alone"), Store(tmp_path / "store")
    run(jobs, work, alone, Serial())
    run(jobs, work, store, executor_of(name, n), together(events.append, log(tmp_path / "log.jsonl")))
    assert missing(jobs, store) == []
    for job in jobs:
        assert store.files.get(f"{job.key}.npz") == alone.files.get(f"{job.key}.npz")
        own = [event for event in events if event.job == job]
        assert [event.kind for event in own] == ["begin", "progress", "end"]
        assert [event.done for event in own] == [0.0, 0.5, 1.0]
        assert own[1].note == "half of it"
    assert len({event.pid for event in events}) == (2 if n == 2 and name != "backwards" else 1)
    assert seconds_taken(tmp_path / "log.jsonl").keys() == {job.key for job in jobs}


def test_an_executor_that_there_is_not():
    with pytest.raises(ValueError, match="there is no executor 'dask': give one of serial, processes"):
        executor_of("dask", 2)


@pytest.mark.parametrize(("how", "says"), [("killed", "was killed"), ("leaves", "ended with code 3"),
                                           ("hangs", "took longer than 1 seconds"),
                                           ("goes on and on", "took longer than 1 seconds")])  # fmt: skip
def test_a_fault_is_reported_by_the_jobs_name_and_the_others_go_on(tmp_path, jobs, how, says):
    store, events = Store(tmp_path), []
    bad = Square((7,), how)
    with pytest.raises(JobsFailed, match=rf"square of \(7,\) .*{says}.*: what was finished is kept; run the same"):
        run([jobs[0], bad, *jobs[1:]], work, store, Processes(2, timeout=1), events.append)
    assert missing([*jobs, bad], store) == [bad]
    assert [event.job for event in events if event.kind == "failure"] == [bad]
    assert not list(tmp_path.glob(".*"))


def test_a_worker_that_dies_between_two_runs_has_another_take_its_place(tmp_path, jobs):
    store, events, workers = Store(tmp_path), [], Processes(1)
    for own in (jobs[:2], jobs[2:]):
        run(own, work, store, workers, events.append)
        os.kill(events[-1].pid, signal.SIGKILL)
    assert missing(jobs, store) == []
    assert [event.kind for event in events].count("failure") == 0
    assert len({event.pid for event in events}) == 2


@pytest.mark.parametrize("n", [1, 2])
def test_what_a_job_raises_stops_the_rest_and_names_the_line(tmp_path, jobs, n):
    store, events = Store(tmp_path), []
    with pytest.raises(FloatingPointError, match=r"square of \(7,\) is too large") as raised:
        run([jobs[0], Square((7,), "raises"), *jobs[1:]], work, store, executor_of(n=n), events.append)
    if n == 1:
        assert missing(jobs, store) == jobs[1:]
    assert [event.note for event in events if event.kind == "failure"] == [str(raised.value)]
    if n == 2:
        assert 'raise FloatingPointError(f"{job.label}' in raised.value.__notes__[0]


def test_work_that_no_process_can_begin_is_said(tmp_path, jobs):
    run_it = lambda: run(jobs, Unknown(), Store(tmp_path), Processes(1))  # noqa: E731
    with pytest.raises(OSError, match=r"a process to do square of \(0, 1\) .* before it started"):
        run_it()


SCRIPT = """
import sys
from posteriori.jobs.executors import executor_of
from posteriori.jobs.progress import log
from posteriori.jobs.run import run
from posteriori.jobs.store import Store
from pathlib import Path
from tests.jobs.squares import Square, work

if __name__ == "__main__":
    out, n, how = sys.argv[1:]
    jobs, told = [Square((i, 10), how) for i in range(4)], log(Path(out + ".log"))
    try:
        run(jobs, work, Store(out), executor_of(n=int(n)), told, place="here")
    except OSError as error:
        sys.exit(str(error))
"""


def script(tmp_path, n, how):
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([*map(str, Path(__file__).parents[2:3]), *sys.path])
    command = [sys.executable, "-B", str(tmp_path / "script.py"), str(tmp_path / "out"), str(n), how]
    return command, os.environ | {"PYTHONPATH": path}


def test_workers_leave_with_a_killed_parent_and_leave_nothing_half_written(tmp_path):
    command, environment = script(tmp_path, 2, "hangs")
    parent = subprocess.Popen(command, env=environment)
    told, deadline = tmp_path / "out.log", time.monotonic() + 60
    while not (told.is_file() and told.read_text().count("\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = {json.loads(line)["pid"] for line in told.read_text().splitlines()}
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))
    assert not list((tmp_path / "out").rglob("*"))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("n", [1, 2])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path, n):
    """RLIMIT_FSIZE answers a write as a full disk does."""
    command, environment = script(tmp_path, n, "")
    small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))  # noqa: E731
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=small, check=False)
    assert answer.stderr == (
        "here cannot be written to (File too large): make room and run the same command again; what was finished is "
        "kept\n"
    )
    assert not list((tmp_path / "out").rglob("*"))


def test_out_of_memory_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(2**60)
    assert out_of_memory(torchs.value)
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not out_of_memory(RuntimeError("view size is not compatible with memory_format"))
    assert not out_of_memory(OSError("memory"))


def test_a_bar_weighs_jobs_by_their_seconds(jobs, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with shown("squares", {job.key: 10.0 * (i + 1) for i, job in enumerate(jobs)}) as report:
        report(Event("end", jobs[3], 1.0))
        report(Event("progress", jobs[4], 0.5))
    told = capsys.readouterr().err
    assert "squares" in told
    assert "65/150" in told
    assert "square of (4, 5)" in told


def test_a_board_counts_what_is_left_and_how_long(jobs, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    parts = {"first": jobs[:2], "second": jobs[2:]}
    board = Board(parts, {job.key: 10.0 for job in jobs[1:]}, later=20.0)
    board(Event("begin", jobs[1]))
    board(Event("end", jobs[1], 1.0))
    board(Event("progress", jobs[2], 0.5))
    now[0] += 30  # for 15 estimated seconds
    cells = [list(column.cells) for column in board.table().columns]
    rows = list(zip(*cells, strict=True))
    assert rows[0] == ("first", "2", "", "0", "-")
    assert rows[1] == ("second", "0", "square 50%", "3", "0:00:50")
    assert rows[2] == ("later parts", "", "", "", "0:00:40")
    assert rows[3] == ("all", "2", "", "3", "0:01:30")

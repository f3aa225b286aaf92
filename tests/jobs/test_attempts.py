"""What fails again and again is set aside, and nothing else is."""

import csv

import pytest
from tests.jobs.squares import Square, work

from posteriori.jobs.attempts import TIMES, persist
from posteriori.jobs.executor import Event
from posteriori.jobs.executors import executor_of
from posteriori.jobs.run import missing
from posteriori.jobs.store import Files, Store
from posteriori.jobs.throughput import THROUGHPUT, Throughput, recorded


@pytest.fixture
def jobs():
    return [Square((i, i + 1)) for i in range(4)]


@pytest.mark.parametrize("n", [1, 2])
def test_a_job_that_raises_is_tried_three_times_and_the_others_are_done(tmp_path, jobs, n):
    store, events, bad = Store(tmp_path), [], Square((7,), "raises")
    left = persist([jobs[0], bad, *jobs[1:]], work, store, executor_of(n=n), events.append)
    assert [(event.job, event.fault) for event in left] == [(bad, "FloatingPointError")]
    assert left[0].note == "square of (7,): FloatingPointError: square of (7,) is too large"
    assert [event.job for event in events if event.kind == "failure"] == TIMES * [bad]
    assert missing([*jobs, bad], store) == [bad]
    assert len([event for event in events if event.kind == "begin"]) == len(jobs) + TIMES


def test_a_job_whose_process_dies_once_is_done_in_the_end(tmp_path, jobs):
    store, events, bad = Store(tmp_path / "results"), [], Square((7,), f"killed once {tmp_path / 'killed'}")
    assert persist([*jobs, bad], work, store, executor_of(n=2), events.append) == []
    assert [event.fault for event in events if event.kind == "failure"] == ["lost"]
    assert missing([*jobs, bad], store) == []


def test_what_cannot_be_written_stops_everything_at_once(tmp_path, jobs):
    class Full(Store):
        def write(self, job, result):
            raise OSError(28, "No space left on device")

    events = []
    with pytest.raises(OSError, match=r"here cannot be written to .*: make room and run the same command again"):
        persist(jobs, work, Full(tmp_path), executor_of(), events.append, place="here")
    assert len([event for event in events if event.kind == "begin"]) == 1


def test_throughput_goes_on_where_it_was(tmp_path, jobs):
    for _ in range(2):
        with recorded(Files(tmp_path)) as told:
            for job in jobs:
                told(Event("begin", job))
            for job in jobs[:3]:
                told(Event("end", job))
            told(Event("failure", jobs[3]))
    rows = list(csv.DictReader((tmp_path / THROUGHPUT).read_text().splitlines()))
    assert [(row["done"], row["failed"], row["running"]) for row in rows] == 2 * [("3", "1", "0")]
    with recorded(Files(tmp_path / "nothing")):
        pass
    assert not (tmp_path / "nothing").exists()
    assert Throughput(Files(tmp_path)).text.count("\n") == 3

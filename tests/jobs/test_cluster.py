"""Ray's workers on this machine: the same results as elsewhere, and what happens when they are lost."""

import os
import signal

import pytest
from tests.jobs.squares import Full, Square, work

from posteriori.errors import PosterioriError
from posteriori.jobs.attempts import persist
from posteriori.jobs.executors import Serial, executor_of
from posteriori.jobs.faults import JobsFailed
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Store

ray = pytest.importorskip("ray", reason="Ray is not installed: posteriori[cluster] has it")


@pytest.fixture(scope="module")
def workers():
    """Two, with a minute for a job, whatever else of Ray's is said to be here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "127.0.0.9:6379")
        made = executor_of("ray", 2, 60)
    yield made
    ray.shutdown()


@pytest.fixture
def jobs():
    return [Square((i, i + 1)) for i in range(5)]


def test_rays_workers_give_what_one_process_gives_and_stay(workers, jobs, tmp_path):
    events, alone, store = [], Store(tmp_path / "alone"), Store(tmp_path / "store")
    run(jobs, work, alone, Serial())
    run(jobs[:2], work, store, workers, events.append)
    run(jobs[2:], work, store, workers, events.append)
    for job in jobs:
        assert store.files.get(f"{job.key}.npz") == alone.files.get(f"{job.key}.npz")
        assert [event.kind for event in events if event.job == job and event.kind != "progress"] == ["begin", "end"]
    assert len({event.pid for event in events}) <= 2  # the first may have done all before the second has come
    assert os.getpid() not in {event.pid for event in events}


def test_jobs_are_asked_for_as_workers_are_free(workers, tmp_path):
    asked, most = 0, 0

    def endless():
        nonlocal asked
        for i in range(50):
            asked += 1
            yield Square((i,))

    def told(event):
        nonlocal most, done
        done += event.kind == "end"
        most = max(most, asked - done)

    done = 0
    run(endless(), work, Store(tmp_path), workers, told)
    assert (asked, done) == (50, 50)
    assert most <= 3  # two under way, and the next


@pytest.mark.parametrize(("how", "kind"), [("killed", "lost"), ("leaves", "lost")])
def test_a_lost_worker_fails_its_job_and_another_takes_its_place(workers, jobs, tmp_path, how, kind):
    store, events, bad = Store(tmp_path), [], Square((7,), how)
    with pytest.raises(JobsFailed, match=r"square of \(7,\) lost its worker"):
        run([jobs[0], bad, *jobs[1:]], work, store, workers, events.append)
    assert missing([*jobs, bad], store) == [bad]
    assert [event.fault for event in events if event.kind == "failure"] == [kind]


def test_a_slow_worker_is_stopped(workers, jobs, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "timeout", 4.0)  # a new worker imports what it needs in less
    store, bad = Store(tmp_path), Square((7,), "hangs")
    with pytest.raises(JobsFailed, match=r"square of \(7,\) took longer than 4 seconds, and was stopped"):
        run([bad, *jobs], work, store, workers)
    assert missing([*jobs, bad], store) == [bad]


def test_what_a_job_raises_stops_the_rest_unless_it_is_spared(workers, jobs, tmp_path):
    bad = Square((7,), "raises")
    with pytest.raises(FloatingPointError, match=r"square of \(7,\) is too large") as raised:
        run([bad, *jobs], work, Store(tmp_path / "stopped"), workers)
    assert 'raise FloatingPointError(f"{job.label}' in raised.value.__notes__[0]
    store = Store(tmp_path / "spared")
    assert [event.job for event in persist([bad, *jobs], work, store, workers)] == [bad]
    assert missing([bad, *jobs], store) == [bad]


def test_a_full_disk_stops_everything_with_one_line(workers, jobs, tmp_path):
    events, store = [], Full(tmp_path)
    with pytest.raises(OSError, match=r"^here cannot be written to \(No space left on device\): make room and run the"):
        persist(jobs, work, store, workers, events.append, place="here")
    assert sum(event.kind == "begin" for event in events) <= 3  # two under way, and the next
    assert missing(jobs, store) == jobs


def test_a_machine_that_left_the_cluster_stops_everything_with_one_line(workers, tmp_path, monkeypatch):
    nodes = [node | {"Alive": False} for node in ray.nodes()]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    with pytest.raises(
        OSError, match=r"^Ray's own process on this machine died: start it again with ray start, and run"
    ):
        run([Square((7,), "killed")], work, Store(tmp_path), workers)


def test_a_worker_that_is_killed_between_two_runs_costs_nothing(workers, jobs, tmp_path):
    store, events = Store(tmp_path), []
    run(jobs[:2], work, store, workers, events.append)
    os.kill(events[-1].pid, signal.SIGKILL)
    assert persist(jobs[2:], work, store, workers, events.append) == []
    assert missing(jobs, store) == []


def test_a_cluster_that_is_not_there_and_a_worker_too_large_are_one_line(workers):
    with pytest.raises(PosterioriError, match=r"no node of the cluster has 1 CPUs and 1 GPUs for a worker: give fewer"):
        executor_of("ray", gpus=1)
    with pytest.raises(PosterioriError, match="processes knows no cluster: leave out --address"):
        executor_of("processes", address="auto")

"""The threads of the command line's processes, and of workers; a user's own process is left as it is."""

import os
import subprocess
import sys

import pytest
from tests.jobs.squares import Square, work

from posteriori.jobs import threads
from posteriori.jobs.processes import Processes
from posteriori.jobs.run import run
from posteriori.jobs.store import Store

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")


@pytest.fixture
def bare(monkeypatch):
    """An environment in which nothing is said of threads."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "GIVEN", None)
    monkeypatch.setattr(threads, "processors", lambda: 6)


@pytest.mark.parametrize(
    ("files", "grants"),
    [
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, 6),
        ({"cpu.max": "900000 100000\n"}, 6),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
        ({}, 6),
    ],
)
def test_a_containers_quota_is_heeded(tmp_path, bare, files, grants):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads.granted(tmp_path) == grants


def settled_by(code, **given):
    """What ``code`` leaves in the environment, with torch not yet imported when it was set."""
    code = f"import os, sys\n{code}\nassert 'torch' not in sys.modules\nprint([os.environ.get(n) for n in {NAMES}])"
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return dict(zip(NAMES, eval(done.stdout.splitlines()[-1]), strict=True))


COMMAND = "from posteriori.cli import main\nsys.argv[1:] = ['--version']\ntry: main()\nexcept SystemExit: pass"


def test_a_command_waits_asleep():
    assert settled_by(COMMAND)["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.parametrize(
    ("name", "value"), [("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "7"), ("KMP_BLOCKTIME", "1")]
)
def test_a_command_leaves_what_the_user_has_said_of_waiting(name, value):
    got = settled_by(COMMAND, **{name: value}, OMP_NUM_THREADS="5")
    assert got == dict.fromkeys(NAMES) | {name: value, "OMP_NUM_THREADS": "5"}


def test_the_library_leaves_the_environment_alone():
    assert settled_by("import posteriori, posteriori.jobs.processes") == dict.fromkeys(NAMES)


def test_workers_share_the_processors_and_wait_asleep(tmp_path, bare, monkeypatch):
    monkeypatch.setattr(threads, "granted", lambda: 6)
    job, store = Square((1,), "tells its environment"), Store(tmp_path)
    run([job], work, store, Processes(2))
    told = store.read(job).values
    assert told["OMP_WAIT_POLICY"] == "PASSIVE"
    assert told["OMP_NUM_THREADS"] == "3"
    assert not set(NAMES) & set(os.environ)  # this process is left as it was


@pytest.mark.parametrize(("granted", "given", "each"), [(6, None, 2), (2, None, 1), (6, "6", None)])
def test_the_share_of_each_of_three(bare, monkeypatch, granted, given, each):
    monkeypatch.setattr(threads, "granted", lambda: granted)
    monkeypatch.setattr(threads, "GIVEN", given)
    assert threads.share(3) == each

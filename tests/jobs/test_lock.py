import os
import subprocess
import sys

import pytest

from posteriori.files import atomic_folder, atomic_path
from posteriori.jobs.lock import claimed_folder


def test_a_held_folder_is_refused_to_others_and_then_free(tmp_path):
    out = tmp_path / "deep" / "out"

    def claim_elsewhere() -> subprocess.CompletedProcess:
        lines = (
            "import sys",
            "from posteriori.jobs.lock import claimed_folder",
            "with claimed_folder(sys.argv[1]): pass",
        )
        return subprocess.run([sys.executable, "-c", "\n".join(lines), str(out)], capture_output=True, text=True)

    with claimed_folder(out) as folder:
        assert folder == out
        assert folder.is_dir()
        other = claim_elsewhere()
        who = f"another posteriori command (process {os.getpid()})"
        message = f"OSError: {out} is being written by {who}: wait for it, or give another --out"
        assert other.returncode == 1
        assert other.stderr.splitlines()[-1] == message
        with pytest.raises(OSError, match="is being written by another"), claimed_folder(out):
            pass
    assert claim_elsewhere().returncode == 0
    with pytest.raises(RuntimeError), claimed_folder(out):
        raise RuntimeError
    with claimed_folder(out):
        pass


def test_holding_a_folder_removes_what_a_kill_left_and_nothing_else(tmp_path):
    killed = atomic_folder(tmp_path / "x")
    (killed.__enter__() / "half").touch()  # a kill: the block never ends
    for kept in ("x", ".hidden", "x.partial"):
        with atomic_folder(tmp_path / kept):
            pass
    below = atomic_path(tmp_path / "x" / "a.npz")
    below.__enter__().touch()
    (tmp_path / "x" / ".mine.tmp").touch()
    assert len(os.listdir(tmp_path)) == 4
    assert len(os.listdir(tmp_path / "x")) == 2
    with claimed_folder(tmp_path):
        assert sorted(set(os.listdir(tmp_path)) - {".lock", ".lock.pid"}) == [".hidden", "x", "x.partial"]
        assert os.listdir(tmp_path / "x") == [".mine.tmp"]


def test_a_refused_claim_removes_nothing(tmp_path):
    with claimed_folder(tmp_path), atomic_folder(tmp_path / "x") as working:
        with pytest.raises(OSError, match="another posteriori command"), claimed_folder(tmp_path):
            pass
        assert working.is_dir()

"""What goes wrong around a command: full and read-only disks, no memory, a closed pipe, signals, odd names, other
locales, clocks that step. One line, an exit code, and what was there before is as it was."""

import builtins
import errno
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posteriori.errors import PosterioriError, sentence
from posteriori.hub.load import load_prior
from posteriori.images.files import load_image, save_image
from posteriori.jobs.lock import claimed_folder

BLUR = ("--simulate", "--operator", "gaussian-blur(sigma=1.0)", "--steps", "2", "-q")


class Disk:
    """Counts what is opened to be written, or renamed, below ``folder``, and fails from the ``first`` on."""

    def __init__(self, monkeypatch, folder: Path, first: int | None = None, code: int = errno.ENOSPC):
        self.folder, self.first, self.code, self.n = str(folder), first, code, 0
        self.open, self.replace, self.rename = io.open, os.replace, os.rename
        for module in (builtins, io):
            monkeypatch.setattr(module, "open", self.opened)
        monkeypatch.setattr(os, "replace", lambda a, b, **how: (self.asked(b), self.replace(a, b, **how))[1])
        monkeypatch.setattr(os, "rename", lambda a, b, **how: (self.asked(b), self.rename(a, b, **how))[1])

    def opened(self, file, mode="r", *args, **kwargs):
        if set(mode) & set("wax+"):
            self.asked(file)
        return self.open(file, mode, *args, **kwargs)

    def asked(self, file):
        if isinstance(file, str | os.PathLike) and os.fspath(file).startswith(self.folder):
            self.n += 1
            if self.first is not None and self.n >= self.first:
                raise OSError(self.code, os.strerror(self.code), os.fspath(file))


@pytest.fixture
def commands(tmp_path, tiny_prior, face):
    """A small call of each command that writes: what is typed before ``--out OUT``."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        save_image(load_image("astronaut", size=32 + i), pictures / f"{i}.png")
    config = {"size": 8, "channels": [8, 16], "norm_groups": 8, "images": 8, "batch_size": 4, "holdout": "::4"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return {
        "restore": ("restore", face, "--prior", tiny_prior, *BLUR),
        "denoise": ("denoise", face, "--noise", "0.1", "--prior", tiny_prior, "-q"),
        "sample": ("sample", "-n", "1", "--steps", "2", "--prior", tiny_prior, "-q"),
        "train": ("train", pictures, "--config", tmp_path / "config.json", "-q"),
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_line(answer) -> str:
    assert answer.code == 1
    assert answer.err.startswith("posteriori: ")
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert "a bug" not in answer.err
    return answer.err


@pytest.mark.parametrize(
    ("name", "code"),
    [*((name, errno.ENOSPC) for name in ("restore", "denoise", "sample", "train")), ("restore", errno.EROFS)],
)
def test_a_disk_that_takes_no_more(commands, posteriori, monkeypatch, tmp_path, name, code):
    """At the first write, in the middle and at the last: nothing is half-written, and the same command ends it."""
    whole = tmp_path / "whole"
    with monkeypatch.context() as patched:
        disk = Disk(patched, whole)
        assert posteriori(*commands[name], "--out", whole).code == 0
    for first in sorted({1, disk.n // 2, disk.n}):
        out = tmp_path / f"out-{first}"
        with monkeypatch.context() as patched:
            Disk(patched, out, first, code)
            one_line(posteriori(*commands[name], "--out", out))
        left = contents(out) if out.exists() else {}
        assert not [path for path in left if ".tmp" in path or ".partial" in path]
        for path, data in left.items():
            if path.endswith(".json"):
                json.loads(data)
        assert posteriori(*commands[name], "--out", out).code == 0
        assert set(contents(out)) >= set(contents(whole)) - {".lock"}


def test_what_was_there_survives_a_full_disk(commands, posteriori, monkeypatch, tmp_path):
    out = tmp_path / "out"
    assert posteriori(*commands["restore"], "--out", out).code == 0
    before = {path: data for path, data in contents(out).items() if path.startswith("face/")}
    for first in (1, 7):
        with monkeypatch.context() as patched:
            Disk(patched, out, first)
            one_line(posteriori(*commands["restore"], "--seed", "1", "--overwrite", "--out", out))
        assert {path: data for path, data in contents(out).items() if path.startswith("face/")} == before


def test_a_read_only_cache_still_gives_its_priors(tiny_prior, monkeypatch, tmp_path):
    """Nothing is written where a prior is read."""
    shutil.copytree(tiny_prior, tmp_path / "prior")
    disk = Disk(monkeypatch, tmp_path, 1, errno.EROFS)
    load_prior(tmp_path / "prior")
    assert disk.n == 0


def test_a_prior_that_is_swapped_while_it_is_read(tiny_prior, any_size_prior, monkeypatch, tmp_path):
    """Weights are not taken for those of the config.json that was read before."""
    path = tmp_path / "prior"
    shutil.copytree(tiny_prior, path)
    from posteriori.hub import folder

    read = folder.read_folder

    def swapped(where):
        found = read(where)
        shutil.rmtree(path)
        shutil.copytree(any_size_prior, path)
        return found

    monkeypatch.setattr(folder, "read_folder", swapped)
    with pytest.raises(PosterioriError, match="was changed while it was read"):
        folder.load_folder(path)


def test_two_commands_that_want_one_folder(commands, posteriori, tmp_path):
    with claimed_folder(tmp_path / "out"):
        assert "is being written by another posteriori command" in one_line(
            posteriori(*commands["restore"], "--out", tmp_path / "out")
        )


@pytest.mark.parametrize(
    "name", ["CON", "NUL.png", "a\nb", "-rf", "\U0001f642", "x" * 251, os.fsdecode(b"\xff\xfe"), " a. "]
)
def test_names_of_files(commands, posteriori, face, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = f"./{name}.png"
    shutil.copy(face, path)
    answer = posteriori("restore", path, *commands["restore"][2:], "--out", "out", "--json")
    assert answer.code == 0, answer.err
    (row,) = json.loads(Path("out/results.json").read_text())
    assert row["input"] == path
    assert (Path("out") / row["name"] / "manifest.json").is_file()
    gone = posteriori("restore", path[:-1], *commands["restore"][2:], "--out", "out")
    assert "does not exist: give a picture" in one_line(gone)


def test_an_error_is_one_line_whatever_the_name():
    for error in (PosterioriError("a\nb\x1b[2J is empty"), FileNotFoundError("a\nb\x1b[2J is empty")):
        assert sentence(error, "") == "a\\nb\\x1b[2J is empty"


def test_a_clock_that_goes_back(commands, posteriori, tmp_path, monkeypatch):
    """Only intervals are measured with it, by the clock that does not step; what is finished counts as finished."""
    times = iter(range(2_000_000_000, 0, -100_000))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    assert posteriori(*commands["restore"], "--out", tmp_path / "out").code == 0
    before = contents(tmp_path / "out")
    assert posteriori(*commands["restore"], "--out", tmp_path / "out").code == 0
    assert contents(tmp_path / "out") == before


def run(*arguments, **how):
    """The command in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": ""} | how.pop("env", {})
    return subprocess.Popen(
        [sys.executable, "-c", "from posteriori.cli import main; main()", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **how,
    )


@pytest.mark.parametrize(
    "where", [{"LC_ALL": "C", "TZ": "Pacific/Apia"}, {"LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Kathmandu"}]
)
def test_other_locales_and_time_zones(commands, tmp_path, where):
    """A child computes and prints the same. A locale that is not installed is C."""
    names = run("samplers", env=where)
    out, err = names.communicate(timeout=60)
    assert (names.returncode, err) == (0, b"")
    assert b"dps" in out
    assert re.search(r"E\[x_?0? ?\||DDPM", out.decode("utf-8", "replace"))


def test_output_that_nobody_reads():
    """As of ``posteriori samplers | head -1``."""
    process = run("operators")
    process.stdout.close()
    with process.stderr as said:
        err = said.read().decode()
    process.wait(60)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert len(err.strip().splitlines()) <= 1


def test_no_memory_is_one_line(commands, tmp_path):
    """Of the address space, in the middle of the work."""
    arguments = [*map(str, commands["restore"]), "--out", str(tmp_path / "out")]
    code = (
        "import resource, sys, torch, diffusers; from posteriori.cli import main; import posteriori.restore.run\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 2**20, resource.RLIM_INFINITY))\n"
        f"sys.argv = ['posteriori', *{arguments!r}]; main()"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("the limit is counted from /proc/self/statm, which only Linux has")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert found.returncode == 1, found.stderr
    assert "Traceback" not in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1, found.stderr
    assert not [path for path in contents(tmp_path) if ".tmp" in path or ".partial" in path]


def test_sigterm_leaves_nothing_half_written(commands, face, tmp_path):
    """What was killed goes on with the same command."""
    out = tmp_path / "out"
    arguments = [*commands["restore"][:-2], "900", "-q", "--out", out]
    process = run(*arguments)
    for _ in range(600):
        if (out / ".lock.pid").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not [path for path in contents(out) if path.startswith("face/")]


def test_the_limits_of_this_process_are_those_it_began_with():
    """The tests above change others' alone."""
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY

"""What goes wrong around a command: no memory, a closed pipe, signals, odd names, other locales, clocks that
step. One line, an exit code, and what was there before is as it was. Disks are in test_full_disk.py."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import pytest

from posteriori.errors import PosterioriError, sentence
from posteriori.jobs.lock import claimed_folder

BLUR = ("--simulate", "--operator", "gaussian-blur(sigma=1.0)", "--steps", "2", "-q")


@pytest.fixture
def command(tiny_prior, face):
    """A small call: what is typed before ``--out OUT``."""
    return ("restore", face, "--prior", tiny_prior, *BLUR)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_line(answer) -> str:
    assert answer.code == 1
    assert answer.err.startswith("posteriori: ")
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert "a bug" not in answer.err
    return answer.err


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


def test_two_commands_that_want_one_folder(command, posteriori, tmp_path):
    with claimed_folder(tmp_path / "out"):
        assert "is being written by another posteriori command" in one_line(
            posteriori(*command, "--out", tmp_path / "out")
        )


def test_a_folder_that_is_no_result_is_never_replaced(command, posteriori, tmp_path):
    """Whether with --overwrite or without: what lies in it is the user's."""
    other = tmp_path / "out" / "face" / "restored.png"
    other.mkdir(parents=True)
    (other / "thesis.txt").write_text("mine")
    for overwrite in ((), ("--overwrite",)):
        said = one_line(posteriori(*command, *overwrite, "--out", tmp_path / "out"))
        assert "face exists and is no result of posteriori, for it has no manifest.json: give another --out" in said
    assert (other / "thesis.txt").read_text() == "mine"


def test_a_result_that_is_read_only_is_not_replaced(command, posteriori, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert posteriori(*command, "--out", out).code == 0
    before, access = contents(out), os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != out / "face" and access(path, mode))
    assert posteriori(*command, "--out", out).code == 0  # there already
    said = one_line(posteriori(*command, "--seed", "1", "--overwrite", "--out", out))
    assert "face is read-only: make it writable to replace it, or give another --out" in said
    assert contents(out) == before


def test_a_plan_that_is_damaged(posteriori, tiny_prior, tmp_path):
    """Of an earlier study in the folder, from which it would go on."""
    for plan in ("[" * 10**5, "[]", '{"batch": "4"}', "{"):
        (tmp_path / "plan.json").write_text(plan)
        said = one_line(posteriori("demo", "--samplers", "ddrm", "--prior", tiny_prior, "-q", "--out", tmp_path))
        assert re.search(r"plan.json is not (JSON|a plan of posteriori).*: remove it, or give another --out", said)


@pytest.mark.parametrize(
    "name", ["CON", "NUL.png", "a\nb", "-rf", "\U0001f642", "x" * 251, os.fsdecode(b"\xff\xfe"), " a. "]
)
def test_names_of_files(command, posteriori, face, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = f"./{name}.png"
    shutil.copy(face, path)
    answer = posteriori("restore", path, *command[2:], "--out", "out", "--json")
    assert answer.code == 0, answer.err
    (row,) = json.loads(Path("out/results.json").read_text())
    assert row["input"] == path
    assert (Path("out") / row["name"] / "manifest.json").is_file()
    gone = posteriori("restore", path[:-1], *command[2:], "--out", "out")
    assert "does not exist: give a picture" in one_line(gone)


def test_an_error_is_one_line_whatever_the_name():
    for error in (PosterioriError("a\nb\x1b[2J is empty"), FileNotFoundError("a\nb\x1b[2J is empty")):
        assert sentence(error, "") == "a\\nb\\x1b[2J is empty"


def test_a_clock_that_goes_back(command, posteriori, tmp_path, monkeypatch):
    """Only intervals are measured with it, by the clock that does not step; what is finished counts as finished."""
    times = iter(range(2_000_000_000, 0, -100_000))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))
    assert posteriori(*command, "--out", tmp_path / "out").code == 0
    before = contents(tmp_path / "out")
    assert posteriori(*command, "--out", tmp_path / "out").code == 0
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
def test_other_locales_and_time_zones(command, tmp_path, where):
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


def test_no_memory_is_one_line(command, tmp_path):
    """Of the address space, in the middle of the work."""
    arguments = [*map(str, command), "--out", str(tmp_path / "out")]
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


@pytest.mark.parametrize("wrapped", [False, True])
def test_ctrl_c_is_one_wherever_it_comes(posteriori, monkeypatch, wrapped):
    """Python 3.11 makes a RuntimeError of it where a class is made, as in the middle of an import."""

    def interrupted(*_, **__):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            if wrapped:
                raise RuntimeError("Error calling __set_name__") from error
            raise

    monkeypatch.setattr("posteriori.cli.app", interrupted)
    answer = posteriori("samplers")
    assert (answer.code, answer.err) == (130, "posteriori: interrupted: what was finished is kept\n")


@pytest.mark.parametrize("destructor", [False, True])
def test_ctrl_c_that_python_ignores_comes_again(posteriori, monkeypatch, destructor):
    """In the callback of a weak reference, or in a destructor."""

    def interrupted(*_):
        raise KeyboardInterrupt

    def command(*_, **__):
        kept = type("Kept", (), {"__del__": interrupted} if destructor else {})()
        weak = weakref.ref(kept, None if destructor else interrupted)
        del kept
        for _ in range(100):
            time.sleep(0.05)
        assert weak() is None

    monkeypatch.setattr("posteriori.cli.app", command)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell ignores it
    try:
        answer = posteriori("samplers")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (answer.code, answer.err) == (130, "posteriori: interrupted: what was finished is kept\n")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_training_that_is_stopped_says_so_by_its_exit_code(posteriori, face, tmp_path, monkeypatch, sent, code):
    """With the checkpoint of the step at hand; the same command goes on to the end."""
    from posteriori.training import run

    advance = run.Trainer.advance
    config = {
        "size": 8,
        "channels": [8],
        "norm_groups": 8,
        "attention": False,
        "batch_size": 4,
        "optimiser": "adamw",
        "holdout": "1::2",
    }
    (tmp_path / "config.json").write_text(json.dumps(config | {"images": 12}))
    command = ("train", face.parent, "--config", tmp_path / "config.json", "--out", tmp_path / "out")

    def stopped(trainer):
        if trainer.step == 1:
            signal.raise_signal(sent)
        return advance(trainer)

    with monkeypatch.context() as patched:
        patched.setattr(run.Trainer, "advance", stopped)
        answer = posteriori(*command)
    assert answer.code == code
    assert f"2 of 3 steps; the prior is in {tmp_path / 'out' / 'prior'}" in answer.out
    assert ("posteriori: interrupted: what was finished is kept" in answer.err) == (code == 130)
    answer = posteriori(*command)
    assert answer.code == 0
    assert "at 8 of 12 images" in answer.err


def test_sigterm_leaves_nothing_half_written(command, face, tmp_path):
    """What was killed goes on with the same command."""
    out = tmp_path / "out"
    arguments = [*command[:-2], "900", "-q", "--out", out]
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

"""A disk that fills up while a command writes: one line, nothing half-written, and the same command goes on."""

import builtins
import csv
import errno
import io
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from tests.cli.conftest import random_prior

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image, save_image
from posteriori.jobs.throughput import THROUGHPUT
from posteriori.settings import presets
from posteriori.studies import plots
from posteriori.studies.report import experiment
from posteriori.studies.report import plan as report
from posteriori.studies.verification import plan
from posteriori.studies.verification.grid import Grid

#: what differs in names from run to run
RANDOM = re.compile(r"[0-9a-f]{32}")
GOLDEN = Path(__file__).parents[1] / "golden"


class Disk:
    """Notes what is written below ``folder``, and takes nothing from the ``first`` write on that is not ``known``.

    That is: files opened to be written, what goes into them, folders made, and names given. ``known`` gets what comes
    until then.
    """

    def __init__(
        self, monkeypatch, folder: Path, first: int | None = None, code: int = errno.ENOSPC, known: set | None = None
    ):
        self.folder, self.first, self.code, self.asked = str(folder), first, code, Counter()
        self.known, self.new = set() if known is None else known, 0
        for module in (builtins, io):
            monkeypatch.setattr(module, "open", self.opened(io.open))
        monkeypatch.setattr(os, "open", self.before(os.open, lambda path, flags, *_: flags & os.O_ACCMODE and path))
        monkeypatch.setattr(os, "mkdir", self.before(os.mkdir, lambda path, *_: path))
        for name in ("replace", "rename"):
            monkeypatch.setattr(os, name, self.before(getattr(os, name), lambda _, to: to))
        save = self.before(safetensors.torch.save_file, lambda _, path: path)
        monkeypatch.setattr(safetensors.torch, "save_file", save)

    def before(self, act, path):
        """``act``, which is counted by the path that it writes to."""

        def counted(*given, **options):
            self.write(act.__name__, path(*given))
            return act(*given, **options)

        return counted

    def opened(self, real):
        def open_(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, **options):
            if not set(mode) & set("wax+") or not self.below(file):
                return real(file, mode, buffering, encoding, errors, newline, **options)
            self.write("open", file)
            raw = Raw(file, mode.translate({ord("b"): None, ord("t"): None}))
            raw.disk = self
            file = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return file if "b" in mode else io.TextIOWrapper(file, encoding, errors, newline)

        return open_

    def below(self, file) -> bool:
        return isinstance(file, str | os.PathLike) and os.fspath(file).startswith(self.folder)

    def write(self, how: str, file):
        if not self.below(file):
            return
        one = (how, RANDOM.sub("", os.fspath(file)))
        self.asked[one] += 1
        if not self.full and (*one, self.asked[one]) not in self.known:
            self.known.add((*one, self.asked[one]))
            self.new += 1
        if self.full:
            raise OSError(self.code, os.strerror(self.code), *([] if how == "write" else [os.fspath(file)]))

    @property
    def full(self) -> bool:
        return self.new == self.first


class Raw(io.FileIO):
    disk: Disk

    def write(self, data):
        self.disk.write("write", self.name)
        return super().write(data)


def at(out: Path, words) -> list[str]:
    return [str(word).replace("OUT", str(out)) for word in words]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_whole(path: str, data: bytes):
    """By what its kind of file ends with."""
    match path.rpartition(".")[2]:
        case "json":
            json.loads(data)
        case "png" | "jpg":
            Image.open(io.BytesIO(data)).load()
        case "npy" | "npz":
            np.load(io.BytesIO(data))
        case "csv":
            rows = list(csv.reader(data.decode().splitlines()))
            assert data.endswith(b"\n")
            assert {len(row) for row in rows} == {len(rows[0])}
        case "html":
            assert data.rstrip().endswith(b"</html>")
        case "pdf":
            assert data.rstrip().endswith(b"%%EOF")
        case "safetensors":
            safetensors.torch.load(data)
        case "parquet":
            assert data.endswith(b"PAR1")
        case "pt":
            torch.load(io.BytesIO(data), weights_only=False)


SUITE = """
about = "One task."
prior = "none"
size = 16
pictures = 1
seeds = 1
[[task]]
name = "box"
label = "A box"
operator = "box-mask(size={13})"
noise = "0.05"
[[sampler]]
sampler = "ddrm(steps=1)"
source = "own"
[[sampler]]
sampler = "ddrm(steps=2)"
source = "own"
"""
STUDIES = ("demo", "report", "sweep", "bench", "compare", "verify")
COMMANDS = ("restore", "denoise", "sample", "train", "evaluate", "convert", *STUDIES)


@pytest.fixture
def commands(tmp_path, tiny_prior, face, posteriori, monkeypatch):
    """A small call of each command that writes, with OUT where the folder is named."""
    mask = plan.QUICK.problems[1][0]
    tiny = plan.Scope(((Grid(n=50, d=8, d_y=1), 1), (replace(mask, pairs=2), 1)), (2,), Grid(n=50, d=8, d_y=1))
    monkeypatch.setattr(plan, "QUICK", tiny)
    monkeypatch.setattr(report, "SMALL", report.Scope(1, tuning=1, steps=2, ladder=(2,), ddim=2, fewer=1))
    monkeypatch.setattr(experiment, "_SAMPLE_STEPS", 2)
    monkeypatch.setattr(presets, "DEFAULT_STEPS", 2)  # of the demo
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        save_image(load_image("astronaut", size=32 + i), pictures / f"{i}.png")
    config = {
        "size": 8,
        "channels": [8, 16],
        "norm_groups": 8,
        "images": 8,
        "batch_size": 4,
        "optimiser": "adamw",
        "holdout": "::4",
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    suite = tmp_path / "mine.toml"
    suite.write_text(SUITE)
    small = random_prior(tmp_path / "small", attention=False, size=16)

    def call(name: str) -> tuple:
        prior = ("--prior", tiny_prior, "-q")
        blur = ("--operator", "gaussian-blur(sigma=1.0)", "--steps", "2")
        match name:
            case "restore":
                return (name, face, "--simulate", *blur, *prior, "--out", "OUT")
            case "denoise":
                return (name, face, "--noise", "0.1", *prior, "--out", "OUT")
            case "sample":
                return (name, "-n", "1", "--steps", "2", *prior, "--out", "OUT")
            case "train":
                return (name, pictures, "--config", tmp_path / "config.json", "-q", "--out", "OUT")
            case "evaluate":
                return ("priors", name, tiny_prior, "--images", pictures, "--samples", "2", "-q", "--out", "OUT")
            case "convert":
                return ("priors", name, GOLDEN / "adm-small.pt", "OUT/prior", "--config", GOLDEN / "adm-small.json")
            case "demo":
                return (name, "--samplers", "ddrm", *prior, "--out", "OUT")
            case "report":
                return (name, *prior, "--out", "OUT")
            case "sweep":
                return (name, "ddrm", "--vary", "steps=1,2", "--pictures", "1", *prior, "--out", "OUT")
            case "bench":
                return (name, suite, "astronaut", "--prior", small, "-q", "--out", "OUT")
            case "verify":
                return (name, "--quick", "--samplers", "ddim", "-q", "--out", "OUT")
            case _:
                first = tmp_path / "benched"
                assert posteriori(*at(first, call("bench"))).code == 0
                return (name, first, "--out", "OUT")

    return call


def tries(posteriori, monkeypatch, words, out: Path, stride: int, code: int = errno.ENOSPC) -> Iterator:
    """What a command answers, again and again in one folder, where the disk takes all but the last of ``stride`` writes
    that it was not asked for before."""
    known, words = set(), at(out, words)
    while True:
        with monkeypatch.context() as patched:
            disk = Disk(patched, out, stride, code, known)
            answer = posteriori(*words)
        yield answer
        if not disk.full:
            assert answer.code == 0, answer.err
            return


def check_line(answer):
    assert answer.code == 1
    assert answer.err.startswith("posteriori: "), answer.err
    assert len(answer.err.strip().splitlines()) == 1, answer.err
    assert "a bug" not in answer.err
    assert "[Errno" not in answer.err, answer.err


@pytest.mark.parametrize(
    ("name", "every"),
    [
        *((name, False) for name in ("restore", "train", "convert", "sweep", "compare")),
        *(pytest.param(name, True, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]) for name in COMMANDS),
    ],
)
def test_a_disk_that_fills_up(commands, posteriori, monkeypatch, tmp_path, name, every):
    """At every write, or at some of them: what was left is whole, and the same command goes on to the end."""
    words, whole, out = commands(name), tmp_path / "whole", tmp_path / "out"
    with monkeypatch.context() as patched:
        disk = Disk(patched, whole)
        assert posteriori(*at(whole, words)).code == 0
    writes, stops = disk.asked.total(), 0
    for answer in tries(posteriori, monkeypatch, words, out, 1 if every else max(1, writes // 4)):
        if answer.code:
            check_line(answer)
            stops += 1
        left = contents(out) if out.exists() else {}
        assert not [path for path in left if ".tmp" in path or ".partial" in path]
        for path, data in left.items():
            check_whole(path, data)
    print(f"{name}: {writes} writes, stopped {stops} times")
    speed = {THROUGHPUT}  # of jobs that were done before the disk was full: nobody knows it any more
    assert left.keys() >= contents(whole).keys() - speed


def test_a_disk_that_is_read_only(commands, posteriori, monkeypatch, tmp_path):
    words = commands("restore")
    check_line(next(tries(posteriori, monkeypatch, words, tmp_path / "out", 1, errno.EROFS)))


def test_what_was_there_survives(commands, posteriori, monkeypatch, tmp_path):
    out = tmp_path / "out"
    words = at(out, commands("restore"))
    assert posteriori(*words).code == 0
    before = contents(out / "face")
    for first in (1, 7):
        with monkeypatch.context() as patched:
            Disk(patched, out, first)
            check_line(posteriori(*words, "--seed", "1", "--overwrite"))
        assert contents(out / "face") == before


def test_figures_say_that_the_disk_is_full(monkeypatch, tmp_path):
    drawn, _ = plots.figure(1, width=1.0, height=1.0)
    with monkeypatch.context() as patched:
        disk = Disk(patched, tmp_path)
        plots.save(drawn, tmp_path / "curve")
    for first in range(1, disk.asked.total() + 1):
        with monkeypatch.context() as patched:
            Disk(patched, tmp_path, first)
            with pytest.raises(OSError, match="No space left"):
                plots.save(drawn, tmp_path / "curve")
    assert contents(tmp_path).keys() == {"curve.png", "curve.pdf"}


def test_a_read_only_folder_still_gives_its_prior(tiny_prior, monkeypatch, tmp_path):
    """Nothing is written where a prior is read."""
    shutil.copytree(tiny_prior, tmp_path / "prior")
    disk = Disk(monkeypatch, tmp_path, 1, errno.EROFS)
    load_prior(tmp_path / "prior")
    assert not disk.asked

"""kill -9, twice, at different moments: the same command then gives what an uninterrupted one gives, byte for byte."""

import csv
import json
import multiprocessing
import re
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from tests.cli.conftest import random_prior
from tests.jobs import commands

from posteriori.files import TEMPORARY

BLUR = ("--operator", "gaussian-blur(sigma=1.0)")
TRAINING = {
    "size": 16,
    "channels": [16],
    "attention": False,
    "norm_groups": 8,
    "images": 32,
    "batch_size": 4,
    "optimiser": "adamw",
}
#: what says when, how fast and in how much memory
TIMES = re.compile(r'"(peak_memory_bytes|time|pid|seconds)": \S+')


@pytest.fixture(scope="module")
def server():
    """Forks processes that have imported everything: in seconds what would take each of them as many."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([commands.__name__])
    return context


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder with a prior, pictures, and settings to train with."""
    folder = tmp_path_factory.mktemp("given")
    random_prior(folder / "tiny", attention=False)
    (folder / "pictures").mkdir()
    for i in range(8):
        pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{i}.png")
    (folder / "tiny.json").write_text(json.dumps(TRAINING | {"holdout": "::4"}))
    return folder


COMMANDS = {
    "restore": ["restore", "{pictures}", "--simulate", *BLUR, "--samples", "2", "--steps", "2", "--batch", "4"],
    "denoise": ["denoise", "{pictures}", "--sigma", "0.1", "--batch", "3"],
    "sample": ["sample", "-n", "5", "--steps", "2", "--batch", "2"],
    "sweep": ["sweep", "dps", "--vary", "scale=1,2", *BLUR, "--pictures", "2", "--steps", "2", "--batch", "1"],
    "report": ["report"],
    "demo": ["demo", "--samplers", "sdedit,dps"],
    "verify": ["verify", "--quick", "--samplers", "ddim,dps"],
    "evaluate": ["priors", "evaluate", "--images", "{pictures}", "--holdout", "::2", "--samples", "3"],
    "train": ["train", "{pictures}", "--config", "{config}", "--checkpoint-every", "0", "--threads", "1"],
}


def typed(name, given):
    """The command's words; it writes into out."""
    places = {"{pictures}": given / "pictures", "{config}": given / "tiny.json"}
    words = [str(places.get(word, word)) for word in COMMANDS[name]]
    prior = str(given / "tiny")
    if name == "report":
        return [*words, prior, "out"]
    if name == "evaluate":
        return [*words, prior, "--out", "out"]
    return [*words, *(["--prior", prior] if name not in ("verify", "train") else []), "--out", "out"]


def contents(folder):
    """What every file holds; pictures of what is under way and locks are none of the results."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        assert not TEMPORARY.fullmatch(path.name)
        if path.name not in (".lock", "log.jsonl", "timings.csv"):
            own = path.read_bytes()
            if path.suffix == ".json":
                own = TIMES.sub("", own.decode())
            elif path.suffix == ".csv":
                own = [{**row, "seconds": None} for row in csv.DictReader(own.decode().splitlines())]
            elif path.suffix == ".pt":  # pickle says of objects, not of their values, which are the same
                own = plain(torch.load(path, weights_only=True))
            found[str(path.relative_to(folder))] = own
    return found


def plain(value):
    """Tensors as their bytes."""
    if isinstance(value, dict):
        return {key: plain(own) for key, own in value.items()}
    if isinstance(value, list):
        return [plain(own) for own in value]
    return (tuple(value.shape), value.numpy().tobytes()) if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_killed_twice_gives_what_an_uninterrupted_one_gives(server, given, tmp_path, name):
    def run(folder, kill=0, after=False):
        (tmp_path / folder).mkdir(exist_ok=True)
        counted = tmp_path / f"{folder}.count"
        arguments = (typed(name, given), str(tmp_path / folder), kill, after, str(counted))
        process = server.Process(target=commands.command, args=arguments)
        process.start()
        process.join()
        expected = -signal.SIGKILL if kill else 0
        assert process.exitcode == expected, counted.with_suffix(".txt").read_text()
        return 0 if kill else int(counted.read_text())

    times = run("whole")
    first = times // 3
    run("killed", kill=first)
    run("killed", kill=max(2, (times - first) // 2), after=True)
    again = run("killed")
    assert again < times, "nothing of what was finished was taken"
    whole, killed = contents(tmp_path / "whole" / "out"), contents(tmp_path / "killed" / "out")
    assert killed.keys() == whole.keys()
    assert [path for path in whole if killed[path] != whole[path]] == []

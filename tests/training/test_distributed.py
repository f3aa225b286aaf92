import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from posteriori.training.config import TrainConfig
from posteriori.training.data import Dataset, batch
from posteriori.training.distributed import Ranks, joined
from posteriori.training.loop import Trainer
from posteriori.training.run import TrainingRun

STOPPED, STEPS = 3, 6
TINY = TrainConfig(
    size=16,
    channels=(16,),
    attention=False,
    norm_groups=8,
    optimiser="adamw",  # of every torch
    images=4 * STEPS,
    batch_size=4,
    warmup=2,
    learning_rate=2e-3,
    holdout="3::10",
)

#: `posteriori train` in one of several processes; the last alone is asked to stop, and each leaves its weights
PROCESS = f"""
import os, signal, torch
from posteriori.cli import main
from posteriori.training import run

class Recorded(run.TrainingRun):
    def __iter__(self):
        for step in super().__iter__():
            if self.ranks.rank == 1 and step.step == {STOPPED}:
                signal.raise_signal(signal.SIGTERM)
            yield step
        torch.save(self.trainer.net.state_dict(), os.environ["WEIGHTS"])

run.TrainingRun = Recorded
run.sample_sheet = lambda *_: None
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """images/, tiny.json, the run two/ that two processes have stopped, their weights {rank}.pt and {rank}.txt."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / "images" / f"{i:02d}.png")
    (folder / "tiny.json").write_text(json.dumps(TINY.to_json()))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    arguments = ["train", "images", "--out", "two", "--config", "tiny.json", "--evaluate-every", "8"]
    arguments += ["--threads", "1", "--dtype", "float32"]
    processes = []
    for rank in range(2):
        address = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
        with (folder / f"{rank}.txt").open("w") as printed:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", PROCESS, *arguments],
                    env=os.environ | address | {"WEIGHTS": f"{rank}.pt"},
                    cwd=folder,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        codes = [process.wait(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 128 + signal.SIGTERM], [(folder / f"{rank}.txt").read_text() for rank in range(2)]
    return folder


def alone(folder, out):
    """The run of one process in ``out``, with the settings of the two processes."""
    return TrainingRun(folder / "images", out, TINY, dtype="float32", evaluate_every=8)


def close(a, b):
    """Up to rounding, of which AdamW makes more where a gradient is almost zero; a step is up to 2e-3."""
    return all(torch.allclose(a[name], b[name], rtol=0, atol=1e-4) for name in a)


@pytest.fixture
def no_sheets(monkeypatch):
    monkeypatch.setattr("posteriori.training.run.sample_sheet", lambda *_: None)


def test_two_processes_have_the_same_weights_bit_for_bit(folder):
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_all_stop_where_one_is_asked_to_and_the_first_alone_writes(folder):
    printed = [(folder / f"{rank}.txt").read_text().splitlines() for rank in range(2)]
    assert printed[0][-1] == f"{STOPPED} of {STEPS} steps; the prior is in two/prior"
    assert not [line for line in printed[1] if "posteriori" in line or "steps" in line]
    assert torch.load(folder / "two" / "checkpoint.pt", weights_only=True)["step"] == STOPPED
    with (folder / "two" / "heldout.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2"]
    assert "; 2 x cpu (" in (folder / "two" / "prior" / "README.md").read_text()


def test_a_run_of_two_processes_goes_on_in_one_as_if_it_had_always_been_one(folder, tmp_path, no_sheets):
    whole = alone(folder, tmp_path / "one")
    for step in whole:
        if step.step == STOPPED:
            stopped = torch.load(folder / "two" / "checkpoint.pt", weights_only=True)
            assert close(stopped["net"], whole.trainer.net.state_dict())
            assert close(stopped["ema"], whole.trainer.ema.state_dict())
    resumed = alone(folder, shutil.copytree(folder / "two", tmp_path / "two"))
    again = list(resumed)
    assert [step.step for step in again] == list(range(STOPPED + 1, STEPS + 1))
    assert close(resumed.trainer.net.state_dict(), whole.trainer.net.state_dict())
    assert again[-1].loss == pytest.approx(step.loss, rel=1e-5)


def test_ranks_share_the_rows_of_a_batch():
    pixels = torch.randint(0, 256, (7, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    settings = {"size": 16, "batch_size": 6, "crop": "centre", "min_crop": 0.8, "colour": 0.1, "seed": 0}
    images = Dataset([str(i) for i in range(7)], pixels)
    whole = batch(images, 4, **settings)
    shares = [batch(images, 4, **settings, rows=Ranks(rank, 3).rows(6)) for rank in range(3)]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), whole)


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_is_read(folder, tmp_path):
    message = r"batch_size is 4, which 3 processes cannot share equally: give a multiple of 3"
    with pytest.raises(ValueError, match=message):
        Trainer(TINY, Dataset([], torch.empty(0)), ranks=Ranks(0, 3))
    with pytest.raises(ValueError, match=message):
        TrainingRun(folder / "missing", tmp_path / "out", TINY, ranks=Ranks(0, 3))


@pytest.mark.parametrize(
    ("device", "gpus", "message"),
    [
        ("cuda:1", 4, "device is 'cuda:1': for several processes give cpu or cuda, a GPU for each"),
        ("cuda", 2, "4 processes were started for 2 GPUs: start one for each"),
    ],
)
def test_processes_without_a_gpu_of_their_own_are_refused(device, gpus, message, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ValueError, match=message), joined(device):
        pass

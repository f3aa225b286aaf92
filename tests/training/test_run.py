import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from posteriori.priors.load import load_prior
from posteriori.training.config import TrainConfig
from posteriori.training.run import TrainingRun

TINY = {"size": 16, "channels": [16], "norm_groups": 8, "images": 400, "batch_size": 4, "holdout": "3::10"}


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return folder


def test_a_killed_run_goes_on_exactly(faces, tmp_path):
    """kill -9 in the middle, resume, and every weight is that of an uninterrupted run."""
    (tmp_path / "tiny.json").write_text(json.dumps(TINY | {"size": 32}))
    command = [sys.executable, "-c", "from posteriori.cli import main; main()", "train", str(faces)]
    options = ["--config", str(tmp_path / "tiny.json"), "--checkpoint-every", "0", "--threads", "1"]
    killed = subprocess.Popen([*command, "--out", str(tmp_path / "a"), *options], stderr=subprocess.DEVNULL)
    log = tmp_path / "a" / "loss.csv"
    deadline = time.monotonic() + 120
    while not (log.exists() and len(log.read_text().splitlines()) > 1):  # 50 of 100 steps
        assert killed.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    stopped = torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < stopped < 100
    for name in ("a", "b"):
        subprocess.run([*command, "--out", str(tmp_path / name), *options], check=True, capture_output=True)
    a, b = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("a", "b"))
    assert a["step"] == b["step"] == 100
    assert all(torch.equal(a["net"][k], b["net"][k]) for k in a["net"])
    assert all(torch.equal(a["ema"][k], b["ema"][k]) for k in a["ema"])
    with log.open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [50, 100]


def test_a_run_writes_a_prior_that_loads(faces, tmp_path, recwarn):
    from diffusers.models.unets.unet_2d import UNet2DModel

    config = TrainConfig.from_json(TINY | {"size": 32, "images": 16})
    run = TrainingRun(faces, tmp_path / "run", config, evaluate_every=8)
    assert not set(run.trainer.images.names) & {"03.png", "13.png"}
    assert [step.step for step in run] == [1, 2, 3, 4]
    prior = load_prior(tmp_path / "run" / "prior", dtype="float32")
    assert prior.shape == (3, 32, 32)
    x = torch.randn(2, 3, 32, 32)
    expected = run.trainer.ema(x, torch.full((2,), 499.0))
    t = prior.schedule.level(500)
    assert torch.allclose((x - t.alpha * prior.denoise(x, t).x0) / t.sigma, expected, atol=2e-3)  # 16-bit weights
    UNet2DModel.from_pretrained(tmp_path / "run" / "prior", low_cpu_mem_usage=False)
    with (tmp_path / "run" / "heldout.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2


def test_stop_requests_end_after_the_step_at_hand(faces, tmp_path):
    run = TrainingRun(faces, tmp_path / "run", TrainConfig.from_json(TINY | {"size": 32}))
    for step in run:
        if step.step == 3:
            signal.raise_signal(signal.SIGINT)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 3


def test_a_holdout_that_leaves_nothing_is_refused(faces, tmp_path):
    with pytest.raises(ValueError, match="leaves no image"):
        TrainingRun(faces, tmp_path / "run", TrainConfig(holdout="::1"))

import csv
import json
import signal
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from posteriori.hub.load import load_prior
from posteriori.training.config import TrainConfig
from posteriori.training.run import TrainingRun

TINY = {
    "size": 16,
    "channels": [16],
    "attention": False,
    "norm_groups": 8,
    "optimiser": "adamw",  # of every torch
    "images": 400,
    "batch_size": 4,
    "holdout": "3::10",
}


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def no_sheets(monkeypatch):
    """Leaves the sheets of samples out: a hundred network calls that most tests have no use for."""
    monkeypatch.setattr("posteriori.training.run.sample_sheet", lambda *_: None)


def test_a_run_writes_a_prior_that_loads(faces, tmp_path, recwarn):
    from diffusers.models.unets.unet_2d import UNet2DModel

    config = TrainConfig.from_json(TINY | {"images": 16})
    run = TrainingRun(faces, tmp_path / "run", config, evaluate_every=8)
    assert not set(run.trainer.images.names) & {"03.png", "13.png"}
    assert [step.step for step in run] == [1, 2, 3, 4]
    prior = load_prior(tmp_path / "run" / "prior", dtype="float32")
    assert prior.shape == (3, 16, 16)
    x = torch.randn(2, 3, 16, 16)
    v = run.trainer.ema(x, torch.full((2,), 499.0))
    t = prior.schedule.level(500)
    assert torch.allclose(prior.denoise(x, t).x0, t.alpha * x - t.sigma * v, atol=2e-3)  # 16-bit weights
    UNet2DModel.from_pretrained(tmp_path / "run" / "prior", low_cpu_mem_usage=False)
    with (tmp_path / "run" / "heldout.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 2


@pytest.mark.parametrize("limit", [{"min_sigma": 0.5}, {"max_sigma": 0.5}])
def test_a_network_of_some_noise_levels_draws_no_samples(faces, tmp_path, limit):
    run = TrainingRun(faces, tmp_path / "run", TrainConfig.from_json(TINY | limit | {"images": 4}))
    list(run)
    assert (tmp_path / "run" / "heldout.csv").exists()
    assert not (tmp_path / "run" / "samples").exists()


def test_stop_requests_end_after_the_step_at_hand(faces, tmp_path):
    run = TrainingRun(faces, tmp_path / "run", TrainConfig.from_json(TINY))
    for step in run:
        if step.step == 3:
            signal.raise_signal(signal.SIGINT)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 3


def test_a_second_ctrl_c_does_not_wait_for_the_step(faces, tmp_path, monkeypatch):
    run = TrainingRun(faces, tmp_path / "run", TrainConfig.from_json(TINY))
    monkeypatch.setattr(run.trainer, "advance", lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    with pytest.raises(KeyboardInterrupt):
        next(iter(run))


def test_a_holdout_that_leaves_nothing_is_refused(faces, tmp_path):
    with pytest.raises(ValueError, match="leaves no image"):
        TrainingRun(faces, tmp_path / "run", TrainConfig(holdout="::1"))


def test_damaged_pictures_are_left_out_and_the_card_does_not_count_them(faces, tmp_path, no_sheets):
    for name in ("05.png", "13.png"):  # one of those to train on, and one held out
        (faces / name).write_bytes((faces / name).read_bytes()[:700])
    run = TrainingRun(faces, tmp_path / "run", TrainConfig.from_json(TINY | {"images": 8}))
    assert [step.step for step in run] == [1, 2]
    assert [problem.split(" is ")[0][-6:] for problem in run.damaged] == ["05.png", "13.png"]
    card = (tmp_path / "run" / "prior" / "README.md").read_text()
    assert "17 images of `images`; 1 more, `3::10` of the sorted names, held out" in card


def test_a_damaged_checkpoint_falls_back_to_the_one_before(faces, tmp_path, no_sheets):
    config = TrainConfig.from_json(TINY | {"images": 16})
    list(TrainingRun(faces, tmp_path / "run", config, checkpoint_every=0))
    newest, before = (tmp_path / "run" / name for name in ("checkpoint.pt", "checkpoint.previous.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    run = TrainingRun(faces, tmp_path / "run", config)
    assert run.resumed == before
    assert [step.step for step in run] == []  # the one before was saved after the last step, too
    before.write_bytes(b"")
    newest.unlink()
    with pytest.raises(ValueError, match=r"checkpoint\.previous\.pt is damaged"):
        TrainingRun(faces, tmp_path / "run", config)


def test_logs_that_are_damaged_lose_those_rows(faces, tmp_path, no_sheets):
    config, out = TrainConfig.from_json(TINY | {"images": 8}), tmp_path / "run"
    list(TrainingRun(faces, out, config))
    header, row = (out / "heldout.csv").read_text().splitlines()
    for damaged in (row[: len(row) // 2], "x" + row, row + ",1", "\xff"):
        (out / "heldout.csv").write_bytes("\n".join([header, row, damaged]).encode("latin-1"))
        TrainingRun(faces, out, config)
        assert (out / "heldout.csv").read_text().splitlines() == [header, row]


def test_photographs_of_any_size_train_and_are_held_out_whole(tmp_path, no_sheets):
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate([(40, 33), (33, 50), (64, 64), (37, 41)]):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(photos / f"{i}.png")
    settings = {"channels": [8, 16], "crop": "random", "holdout": "3::4", "images": 8}
    run = TrainingRun(photos, tmp_path / "run", TrainConfig.from_json(TINY | settings))
    assert [step.step for step in run] == [1, 2]
    assert [image.shape for image in run.held_out.pixels] == [(3, 36, 40)]
    prior = load_prior(tmp_path / "run" / "prior")
    assert prior.denoise(torch.zeros(1, 3, 24, 60), prior.at((24, 60)).schedule.level(10)).x0.shape == (1, 3, 24, 60)


def test_the_prior_has_a_model_card(faces, tmp_path, no_sheets):
    config = TrainConfig.from_json(TINY | {"images": 16})
    for _ in range(2):  # the second finds a folder with a card in it
        list(TrainingRun(faces, tmp_path / "run", config, licence="CC0"))
        config = TrainConfig.from_json(config.to_json() | {"images": 24})
    card = (tmp_path / "run" / "prior" / "README.md").read_text()
    assert "18 images of `images`; 2 more, `3::10` of the sorted names, held out" in card
    assert "**Licence**: CC0." in card
    assert "6 of 6 steps, 24 images seen; cpu (" in card
    with (tmp_path / "run" / "heldout.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert f"step {last['step']}" in card
    assert f"| {float(last['psnr_sigma_0.1']):.2f} |" in card
    assert json.loads(card.split("```")[1].removeprefix("json")) == config.to_json() | {"images": 24}


def test_tensorboard_has_the_numbers_of_the_logs(faces, tmp_path, no_sheets):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = TrainConfig.from_json(TINY | {"images": 200})
    list(TrainingRun(faces, tmp_path / "run", config, tensorboard=True))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    for log, name in (("loss", "loss"), ("heldout", "psnr_sigma_0.1")):
        with (tmp_path / "run" / f"{log}.csv").open() as file:
            rows = [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-4)) for row in csv.DictReader(file)]
        assert [(e.step, e.value) for e in events.Scalars(f"{log}/{name}")] == rows


def test_without_tensorboard_the_option_says_what_to_install(faces, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="tensorboard is not installed: pip install"):
        TrainingRun(faces, tmp_path / "run", TrainConfig.from_json(TINY), tensorboard=True)

"""JSON that says what a network is: of priors' folders, of training runs, of guided-diffusion's checkpoints."""

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from hypothesis import strategies as st

from posteriori.hub.contents import OURS, read_folder
from posteriori.hub.convert import convert_state_dict, unet_config
from posteriori.hub.folder import load_folder, record_shift, save_folder
from posteriori.hub.stored import STEM, WEIGHTS
from posteriori.priors.unet import PixelUNet
from posteriori.schedule import linear_betas
from posteriori.training.config import TrainConfig
from tests.fuzz.contract import altered, contract, damaged, fuzz

CONFIG = TrainConfig(size=16, channels=(8, 16), norm_groups=8)
FILES = ("config.json", "scheduler_config.json", OURS)


@cache
def files() -> dict[str, bytes]:
    """Those of a sound prior's folder."""
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        path = Path(folder, "prior")
        net = PixelUNet(UNet2DModel(**CONFIG.unet_config()), CONFIG.patch)
        save_folder(path, net, linear_betas(), prediction="epsilon", size=16, name="tiny", licence="none")
        record_shift(path, (0.1, 0.2))
        return {file.name: file.read_bytes() for file in path.iterdir()}


def written(folder: str, **changed: bytes) -> Path:
    path = Path(folder, "prior")
    path.mkdir()
    for name, data in (files() | changed).items():
        (path / name).write_bytes(data)
    return path


def loaded(path: Path) -> None:
    with contract():
        read_folder(path)
        prior = load_folder(path)
        level = prior.schedule.level(prior.schedule.end / 2)
        assert prior.denoise(torch.zeros(1, *prior.shape), level).x0.shape == (1, *prior.shape)


@pytest.mark.parametrize("name", FILES)
@fuzz(data=st.data())
def test_folders_whose_values_are_others(name, data):
    values = data.draw(altered(json.loads(files()[name])))
    with TemporaryDirectory() as folder:
        loaded(written(folder, **{name: json.dumps(values).encode()}))


@pytest.mark.parametrize("name", [*FILES, WEIGHTS])
@fuzz(data=st.data())
def test_folders_whose_files_are_damaged(name, data):
    with TemporaryDirectory() as folder:
        loaded(written(folder, **{name: data.draw(damaged([files()[name]]))}))


@fuzz(index=st.one_of(altered({"weight_map": {"a": f"{STEM}-00001-of-00001.safetensors"}, "metadata": {}})))
def test_weights_in_parts(index):
    with TemporaryDirectory() as folder:
        path = written(folder)
        shutil.move(path / WEIGHTS, path / f"{STEM}-00001-of-00001.safetensors")
        (path / f"{STEM}.safetensors.index.json").write_text(json.dumps(index))
        loaded(path)


@fuzz(values=altered(CONFIG.to_json()))
def test_training_settings(values):
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "config.json")
        path.write_text(json.dumps(values))
        config = TrainConfig.from_file(path)
        assert TrainConfig.from_json(config.to_json()) == config


FLAGS = {
    "image_size": 64,
    "num_head_channels": 32,
    "use_new_attention_order": False,
    "num_channels": 32,
    "num_res_blocks": 1,
    "attention_resolutions": "16",
    "channel_mult": "1,2,2",
    "learn_sigma": True,
    "resblock_updown": True,
    "use_scale_shift_norm": True,
}


@fuzz(flags=altered(FLAGS))
def test_flags_of_guided_diffusion(flags):
    with contract():
        if isinstance(flags, dict):
            unet_config(flags)
            convert_state_dict({"out.2.bias": torch.zeros(6)}, flags)

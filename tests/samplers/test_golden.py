"""The official DPS loop, step by step, on a small network of random weights."""

import json
from itertools import pairwise

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file

from posteriori.hub.convert import convert_state_dict, unet_config
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import Trajectory
from posteriori.operators import GaussianBlur
from posteriori.priors.unet import PixelUNet, UNetPrior
from posteriori.rng import Tape
from posteriori.samplers import DPS
from tests.helpers import LINEAR

SHAPE = (3, 64, 64)
CHAINS = {
    "ddpm": DPS(gradient="norm", scale=0.3, steps=10, variance="learned"),
    "ddim": DPS(gradient="norm", scale=0.3, steps=10, variance="small", eta=0.0, spacing="leading"),
}


@pytest.fixture(scope="module")
def prior(golden):
    flags = json.loads((golden / "adm-small.json").read_text())
    net = UNet2DModel(**unet_config(flags))
    net.load_state_dict(convert_state_dict(torch.load(golden / "adm-small.pt", weights_only=True), flags))
    return UNetPrior(PixelUNet(net), LINEAR, SHAPE)


def run(prior, golden, sampler, recorded):
    like = Gaussian(load_file(golden / "blur.safetensors")["y"], GaussianBlur(SHAPE, sigma=3.0, size=61), 0.05)
    trajectory = Trajectory()
    draws = [recorded["x_T"], *recorded.get("noise", [])]
    sample(prior, like, sampler, rng=lambda rows: Tape(draws), callbacks=[trajectory], progress=False)
    return trajectory


def largest_differences(trajectory, recorded):
    # the recording keeps every second pixel of the states
    x = torch.stack([recorded["x_T"], *trajectory.x])[..., ::2, ::2]
    x0 = torch.stack(trajectory.x0)[..., ::2, ::2]
    residual = torch.cat([stats["residual"] for stats in trajectory.stats])
    assert x.shape == recorded["x"].shape
    assert x0.shape == recorded["x0"].shape
    return [
        (found - recorded[name]).abs().max().item()
        for name, found in (("x", x), ("x0", x0), ("residual_norm", residual))
    ]


@pytest.mark.parametrize("chain", CHAINS)
def test_dps_is_the_official_one(prior, golden, chain):
    recorded = load_file(golden / f"dps-chain-{chain}.safetensors")
    path = CHAINS[chain].path(LINEAR)
    assert [t.t - 1 for t, _ in pairwise(path)] == recorded["timesteps"].tolist()
    differences = largest_differences(run(prior, golden, CHAINS[chain], recorded), recorded)
    assert max(differences) < 1e-3


@pytest.mark.parametrize("wrong", [{"scale": 0.31}, {"variance": "small"}, {"clip": False}, {"gradient": "unit"}])
def test_other_settings_are_noticed(prior, golden, wrong):
    recorded = load_file(golden / "dps-chain-ddpm.safetensors")
    sampler = DPS(**({"gradient": "norm", "scale": 0.3, "steps": 10, "variance": "learned"} | wrong))
    assert max(largest_differences(run(prior, golden, sampler, recorded), recorded)) > 5e-3

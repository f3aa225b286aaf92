"""The recorded networks of the official guided-diffusion code, and random weights of the FFHQ model's shapes."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from posteriori.hub.convert import convert_state_dict, unet_config
from posteriori.priors.unet import PixelUNet

GOLDEN = Path(__file__).parents[1] / "golden"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "golden"  # adm-small-2 is too large for the repository


class Recorded(NamedTuple):
    state: dict[str, Tensor]
    flags: dict[str, Any]
    io: dict[str, Tensor]


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], Recorded]:
    """recorded(name): a network with its flags and what the official code computed with it."""
    return _recorded


def _recorded(name: str) -> Recorded:
    folder = GOLDEN if (GOLDEN / f"{name}.pt").exists() else SHARED
    if not (folder / f"{name}.pt").exists():
        pytest.skip(f"{name} is recorded in ../shared, which is not here")
    flags = json.loads((folder / f"{name}.json").read_text())
    state = torch.load(folder / f"{name}.pt", weights_only=True)
    return Recorded(state, flags, load_file(folder / f"{name}-io.safetensors"))


@pytest.fixture(scope="session")
def network() -> Callable[..., PixelUNet]:
    """network(state, flags): the converted network."""
    return _network


def _network(state: dict[str, Tensor], flags: dict[str, Any]) -> PixelUNet:
    from diffusers import UNet2DModel

    net = UNet2DModel(**unet_config(flags))
    net.load_state_dict(convert_state_dict(state, flags))
    return PixelUNet(net).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def adm_small() -> Recorded:
    return _recorded("adm-small")


@pytest.fixture(scope="session")
def ffhq_state_dict() -> dict[str, Tensor]:
    """Random weights, always the same, with the names and shapes of the FFHQ-256 checkpoint (374 MB)."""
    shapes = json.loads((GOLDEN / "ffhq-256-keys.json").read_text())
    rng = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in shapes.items():
        if len(shape) == 1:  # biases, and the scales of group norms
            ones = key.endswith(".weight")
            state[key] = torch.full(shape, float(ones)) + 0.02 * torch.randn(shape, generator=rng)
        else:
            state[key] = torch.randn(shape, generator=rng) / math.sqrt(math.prod(shape[1:]))
    return state

"""The networks that are timed: with random weights if only the shapes matter, the same ones in every code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posteriori.hub.cards import load_card
from posteriori.hub.convert import convert_state_dict, unet_config
from posteriori.hub.load import load_prior, read_dtype
from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import BoxMask
from posteriori.priors.base import Prior
from posteriori.priors.unet import PixelUNet, UNetPrior
from posteriori.priors.unet2d import UNet2D
from posteriori.samplers import DPS
from posteriori.schedule import linear_betas
from posteriori.studies.tasks import SIGMA_Y

Flags = Mapping[str, Any]
State = Mapping[str, Tensor]

#: guided-diffusion's flags of a tiny network
TINY = {"image_size": 32, "num_channels": 32, "num_res_blocks": 1, "channel_mult": "1,2", "attention_resolutions": "16",
        "num_head_channels": 32, "learn_sigma": True, "resblock_updown": True, "use_scale_shift_norm": True,
        "class_cond": False, "use_new_attention_order": False}  # fmt: skip


def flags_of(network: str) -> Flags:
    """The flags of "tiny", or of the card of that name."""
    return TINY if network == "tiny" else load_card(network).flags


def random_state(shapes: State) -> dict[str, Tensor]:
    """Random weights for these names and shapes, in any order. Layers keep the scale of their input; none is zero."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name in sorted(shapes):
        noise = torch.randn(shapes[name].shape, generator=generator)
        if noise.ndim > 1:
            state[name] = noise / noise[0].numel() ** 0.5
        else:
            state[name] = 0.1 * noise + (1.0 if name.endswith("weight") else 0.0)
    return state


def random_prior(
    flags: Flags, dtype: torch.dtype, *, state: State | None = None, device: torch.device | str = "cpu"
) -> UNetPrior:
    """The network of ``flags`` with the guided-diffusion ``state``, or with random weights."""
    size = int(flags["image_size"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # every call gives the same network
        net = UNet2D(unet_config(flags))
    if state is not None:
        net.load_state_dict(convert_state_dict(state, flags))
    return UNetPrior(PixelUNet(net), linear_betas(), (3, size, size), dtype=dtype, device=device)


def prior_of(network: str, dtype: str, device: str = "cpu") -> Prior:
    """A prior with ``load_prior``'s names and ``dtype``; "tiny" and "ffhq-256" have random weights."""
    if network in ("tiny", "ffhq-256"):
        return random_prior(flags_of(network), read_dtype(dtype, device), device=device)
    return load_prior(network, dtype=dtype, device=device)


@dataclass(frozen=True)
class Problem:
    """The picture that every code restores: the bundled face behind the report's box, (1, 3, H, W)."""

    likelihood: Gaussian
    operator: BoxMask

    @classmethod
    def of(cls, size: int, rows: int = 1) -> Problem:
        operator = BoxMask((3, size, size))
        x = load_image("astronaut", size=size).expand(rows, -1, -1, -1)
        return cls(Gaussian.simulate(x, operator, SIGMA_Y), operator)

    @property
    def keep(self) -> Tensor:
        """1 for kept pixels, 0 in the box, (1, 3, H, W)."""
        return self.operator.zero_filled(torch.ones(self.likelihood.y[:1].shape))


def dps(prior: Prior, *, rows: int = 1, steps: int = 1, batch: int | None = None) -> Callable[[], Tensor]:
    """Calls DPS on ``rows`` pictures as a user does."""
    like = Problem.of(prior.shape[-1], rows).likelihood
    return lambda: sample(prior, like, DPS(steps=steps), batch=batch, progress=False)

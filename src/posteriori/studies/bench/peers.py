"""The DPS loops of other codes, imported from their own packages: none of their code is included here.

Each runs one step of its own loop on ``Problem`` with the network of guided-diffusion's ``flags``.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.studies.bench.networks import Flags, Problem, flags_of


@dataclass(frozen=True)
class Peer:
    """``step`` takes one step; ``net`` is guided-diffusion's network, under its own names."""

    net: nn.Module
    step: Callable[[], Tensor]


class Maker(Protocol):
    def __call__(self, flags: Flags, problem: Problem, /) -> Peer: ...


def official(flags: Flags, problem: Problem) -> Peer:
    """github.com/DPS2022/diffusion-posterior-sampling: ``p_sample_loop`` with the conditioning "ps"."""
    # a package that the clone fetches from elsewhere, for motion blur
    motion = ModuleType("motionblur.motionblur")
    vars(motion)["Kernel"] = None
    sys.modules.setdefault("motionblur", ModuleType("motionblur"))
    sys.modules.setdefault("motionblur.motionblur", motion)
    from guided_diffusion.condition_methods import get_conditioning_method
    from guided_diffusion.gaussian_diffusion import create_sampler
    from guided_diffusion.unet import create_model

    with contextlib.redirect_stdout(io.StringIO()):  # it says that it found no checkpoint
        net = create_model(**flags).eval()
    sampler = create_sampler(
        sampler="ddpm", steps=1000, noise_schedule="linear", model_mean_type="epsilon", timestep_respacing="2",
        model_var_type="learned_range", dynamic_threshold=False, clip_denoised=True, rescale_timesteps=False,
    )  # fmt: skip
    sampler.num_timesteps = 1  # the last of its two: it cannot be made with fewer
    keep, y = problem.keep, problem.likelihood.y

    class Inpainting:
        def forward(self, data: Tensor, **_: Any) -> Tensor:
            return data * keep

    def gaussian() -> None:
        """Only its name is read."""

    conditioning = get_conditioning_method("ps", Inpainting(), gaussian, scale=1.0).conditioning

    def step() -> Tensor:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            return sampler.p_sample_loop(
                model=net, x_start=torch.randn_like(y).requires_grad_(), measurement=y,
                measurement_cond_fn=conditioning, record=False, save_root="",
            )  # fmt: skip

    return Peer(net, step)


def azula(flags: Flags, problem: Problem) -> Peer:
    """azula's ``DPSSampler`` on its ADM network."""
    from azula.guidance.dps import DPSSampler
    from azula.plugins.adm import make_model

    denoiser = make_model(
        image_size=int(flags["image_size"]),
        channel_mult=tuple(int(mult) for mult in flags["channel_mult"].split(",")),
        attention_resolutions=tuple(int(side) for side in flags["attention_resolutions"].split(",")),
        **{name: flags[name] for name in _SHARED},
    ).eval()
    keep, y = problem.keep, problem.likelihood.y
    sampler = DPSSampler(denoiser, y, lambda x: x * keep, steps=1, silent=True)
    return Peer(denoiser.backbone, lambda: sampler(torch.randn_like(y)))


def deepinv(flags: Flags, problem: Problem) -> Peer:
    """deepinv's ``DPS`` in float32 (its default is float64) on its ``DiffUNet``, which has only ffhq-256's shape."""
    import deepinv as dinv

    if flags != flags_of("ffhq-256"):
        raise PosterioriError("deepinv has no network but ffhq-256: time that one")
    net = dinv.models.DiffUNet(pretrained=None).eval()
    physics = dinv.physics.Inpainting(img_size=problem.operator.shape, mask=problem.keep[0])
    sampler = dinv.sampling.DPS(net, num_steps=2, dtype=torch.float32)  # two times: the step is between them
    return Peer(net, lambda: sampler(problem.likelihood.y, physics))


_SHARED = ("num_channels", "num_res_blocks", "num_head_channels", "resblock_updown", "use_scale_shift_norm",
           "use_new_attention_order")  # fmt: skip

#: by name: how to install it, a module that is there if it is installed, and its maker
PEERS: dict[str, tuple[str, str, Maker]] = {
    "official": ("--official takes a clone of github.com/DPS2022/diffusion-posterior-sampling",
                 "guided_diffusion.unet", official),
    "azula": ("pip install --no-deps --target DIR azula einops gdown beautifulsoup4 soupsieve, and --site DIR",
              "azula.plugins.adm", azula),
    "deepinv": ("pip install --target DIR deepinv, with a torchvision of this torch, and --site DIR",
                "deepinv", deepinv),
}  # fmt: skip


def find(official: Path | None, site: Path | None) -> None:
    """Makes a clone and a folder of packages importable. Raises PosterioriError if they are not there."""
    if official and not (official / "guided_diffusion" / "unet.py").is_file():
        raise PosterioriError(f"--official {official} has no guided_diffusion/unet.py: give the clone's own folder")
    if site and not site.is_dir():
        raise PosterioriError(f"--site {site} is not a folder: give the one that pip's --target filled")
    sys.path += [str(place.absolute()) for place in (official, site) if place]


def absent(name: str) -> str:
    """Why the peer ``name`` cannot be timed here; empty if it can."""
    how, module, _ = PEERS[name]
    try:
        __import__(module)
    except Exception as error:  # others' code fails on import in its own ways
        return f"{first_line(error)}: {how}"
    return ""

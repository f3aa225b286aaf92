"""A prior as a folder in diffusers' format, loaded and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from posteriori.errors import PosterioriError
from posteriori.files import atomic_folder, first_line, read_json, write_json
from posteriori.hub.contents import CARD, FILES, OURS, Folder, read_folder
from posteriori.hub.scheduler import schedule_config, schedule_from_config
from posteriori.hub.stored import WEIGHTS, read_weights
from posteriori.priors.base import Prior
from posteriori.priors.channels import EachChannel
from posteriori.priors.experts import Experts
from posteriori.priors.unet import PixelUNet, Prediction, UNetPrior, learns_variance
from posteriori.priors.unet2d import UNet2D, is_known
from posteriori.schedule import VPSchedule


def save_folder(
    path: Path,
    net: PixelUNet,
    schedule: VPSchedule,
    *,
    prediction: Prediction,
    size: int,
    name: str,
    licence: str,
    card: str = "",
    dtype: torch.dtype = torch.float16,
    overwrite: bool = False,
) -> None:
    """Writes ``net``, over a ``UNet2D`` or diffusers' ``UNet2DModel``, to the folder ``path``, whole or not at all.

    ``size`` is in pixels; ``card`` is the text of its README.md; ``dtype`` is that of the stored weights.
    Raises FileExistsError where ``path`` is a folder with something in it, unless ``overwrite`` and it holds a
    prior and nothing else; PosterioriError where a weight does not fit ``dtype``.
    """
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from safetensors.torch import save_file

    path = Path(path)
    _refuse_overwriting(path, overwrite)
    unet: Any = net.net
    state = {k: v.detach().cpu().to(dtype).contiguous() for k, v in unet.state_dict().items()}
    bad = [k for k, v in state.items() if not torch.isfinite(v).all()]
    if bad:
        raise PosterioriError(f"{bad[0]} has values that are not finite in {dtype}: store torch.float32")
    ours = {"patch": net.patch, "name": name, "size": size, "licence": licence}
    with atomic_folder(path) as partial:
        config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
        write_json({"_class_name": "UNet2DModel", **config}, partial / "config.json")
        save_file(state, partial / WEIGHTS, metadata={"format": "pt"})
        DDPMScheduler(
            **schedule_config(schedule),
            prediction_type=prediction,
            variance_type="learned_range" if learns_variance(unet.config) else "fixed_small",
        ).save_config(partial)
        (partial / OURS).write_text(json.dumps(ours, indent=2) + "\n", "utf-8")
        if card:
            (partial / CARD).write_text(card, "utf-8")
        (partial / WEIGHTS).chmod((partial / OURS).stat().st_mode)  # safetensors writes for the owner only


def load_folder(path: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Prior:
    """The prior in the folder ``path``, at its own size; one of grey pictures sees each of three channels by itself.

    Errors as in ``read_folder``, or where weights are damaged.
    """
    return _load(read_folder(path), device, dtype)


def _load(folder: Folder, device: torch.device | str, dtype: torch.dtype) -> Prior:
    unet = _network(folder) or _diffusers_network(folder)
    if read_json(folder.unet / "config.json") != folder.config:
        raise PosterioriError(f"{folder.unet} was changed while it was read: run the same command again")
    own = UNetPrior(
        PixelUNet(unet, folder.patch),
        schedule_from_config(folder.scheduler),
        (folder.channels, *folder.sides),
        prediction=folder.prediction,
        name=folder.name,
        shift=folder.shift,
        device=device,
        dtype=dtype,
    )
    prior = EachChannel(own) if folder.channels == 1 else own
    if folder.noisy is None or folder.noisy_above is None:
        return prior
    return Experts(prior, _load(folder.noisy, device, dtype), folder.noisy_above)


def _network(folder: Folder) -> UNet2D | None:
    """The network, or None where diffusers is to load it: it knows more of them, older names, and what is wrong."""
    if not is_known(folder.config):
        return None
    state = read_weights(folder.files)
    net = _planned(folder, UNet2D)
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in net.state_dict().items()}:
        return None
    net.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    return net


def _planned(folder: Folder, build: Callable[[dict[str, Any]], Any]) -> Any:
    """The network of config.json without numbers in it. PosterioriError where it is none, or has more than the files.

    What is built with numbers may then take the memory that the files take, and no more than a few times that.
    """
    file = folder.unet / "config.json"
    try:
        with torch.device("meta"):
            net = build(folder.config)
    except Exception as error:  # a constructor of networks takes what it is given for right
        raise PosterioriError(f"{file} describes no network ({first_line(error)}): get it again") from None
    if sum(p.numel() for p in net.parameters()) > sum(part.stat().st_size for part in folder.files):
        raise PosterioriError(f"{folder.weights} is smaller than the network of its config.json: get both again")
    return net


def _diffusers_network(folder: Folder) -> nn.Module:
    from diffusers.models.unets.unet_2d import UNet2DModel
    from safetensors.torch import save_file

    if len(folder.files) > 1 or folder.weights.name != WEIGHTS:  # diffusers is to be told which, and takes one kind
        with TemporaryDirectory() as whole:
            save_file(read_weights(folder.files), Path(whole) / WEIGHTS, metadata={"format": "pt"})
            write_json(folder.config, Path(whole) / "config.json")
            return _diffusers_network(replace(folder, unet=Path(whole), files=(Path(whole) / WEIGHTS,)))
    _planned(folder, UNet2DModel.from_config)
    try:
        loaded: Any = UNet2DModel.from_pretrained(
            folder.unet, use_safetensors=True, low_cpu_mem_usage=False, output_loading_info=True
        )
    except (RuntimeError, OSError) as error:
        shapes = "size mismatch" in str(error)
        problem = "its weights do not fit its config.json" if shapes else first_line(error)
        raise PosterioriError(f"{folder.weights} cannot be loaded ({problem}): get it again") from None
    unet, info = loaded
    wrong = [*info["missing_keys"], *info["unexpected_keys"]]
    if wrong:
        raise PosterioriError(
            f"{folder.weights} does not hold the network of its config.json: {wrong[0]} is missing or extra"
        )
    return unet.float()


def record_shift(path: Path, shift: tuple[float, float]) -> None:
    """Keeps ``Prior.shift`` in the prior's folder ``path``."""
    file = Path(path) / OURS
    write_json((read_json(file) if file.is_file() else {}) | {"shift": [round(end, 3) for end in shift]}, file)


def _refuse_overwriting(path: Path, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file: give a folder")
    there = sorted(file.name for file in path.iterdir()) if path.is_dir() else []
    others = [name for name in there if name not in FILES]
    if others:
        raise FileExistsError(f"{path} holds {others[0]}, which is not part of a prior: give another folder")
    if there and not overwrite:
        raise FileExistsError(f"{path} already holds a prior: give another folder, or remove it first")

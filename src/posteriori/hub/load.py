"""Priors by name: embedded, downloaded, a folder, a guided-diffusion checkpoint, or on the Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import first_line, read_json
from posteriori.hub.cards import Card, cache_dir, card_of, cards, checked_file, sha256
from posteriori.hub.contents import FILES, NOISY, read_folder
from posteriori.hub.convert import complete_flags, convert_state_dict, unet_config
from posteriori.hub.folder import load_folder, save_folder
from posteriori.hub.scheduler import betas_from_config
from posteriori.hub.stored import STEM, WEIGHTS, named_tensors, unpickled
from posteriori.names import nearest
from posteriori.priors.base import Prior
from posteriori.priors.unet import PixelUNet, Prediction, UNetPrior, auto_dtype
from posteriori.priors.unet2d import UNet2D

EMBEDDED = Path(str(resources.files("posteriori.hub") / "weights"))
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_STORED = (f"{STEM}*.safetensors", f"{STEM}*.index*.json", f"{STEM}*.bin")
HUB_FILES = [
    *FILES,
    *_STORED,
    *("unet/config.json", "scheduler/scheduler_config.json", *(f"unet/{s}" for s in _STORED)),
    *(f"{NOISY}/{s}" for s in (*FILES, *_STORED)),
]


@torch.inference_mode(False)  # gradients go through it, also where it was loaded under that
def load_prior(
    name: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | str = "auto",
) -> Prior:
    """The prior called ``name``, frozen, on ``device``, at its own size.

    ``name`` is one of `posteriori priors list`, a folder in diffusers' format, a guided-diffusion ``.pt`` of that list,
    or ``org/name`` on the Hugging Face Hub. `posteriori priors convert` makes a folder of any other ``.pt``.

    ``dtype`` is the network's arithmetic: "float32", "bfloat16", "float16", or "auto", the fastest accurate one here.
    ``device`` is one of torch's, or "auto".

    Raises FileNotFoundError if a file is missing, and PosterioriError if its content is not as expected. Both say what
    to do next. Checkpoints are hashed before use and never run code.
    """
    to: Any = {"device": read_device(device)}
    to["dtype"] = read_dtype(dtype, to["device"])
    path, card = _locate(name)
    return load_folder(path, **to) if card is None else _card_prior(card, _read_state(path), **to)


def prior_record(name: str | Path) -> dict[str, str]:
    """What a record of a run says of the prior ``name``: name, file (of the weights), sha256, licence.

    Takes what ``load_prior`` takes, and raises as it does.
    """
    path, card = _locate(name)
    if card is None:
        folder = read_folder(path)
        return {"name": folder.name, "file": str(folder.weights), "sha256": folder.sha256, "licence": folder.licence}
    return {"name": card.name, "file": str(path), "sha256": sha256(path), "licence": card.licence}


def check_checkpoint(path: Path, card: Card) -> None:
    """Raises PosterioriError where the file ``path`` does not hold the network that the card describes."""
    convert_state_dict(_read_state(path), card.flags)


def _locate(name: str | Path) -> tuple[Path, Card | None]:
    """The folder that ``name`` stands for, or the checkpoint and the card that knows its hash."""
    known, path = cards(), Path(name).expanduser()
    if str(name) in embedded():
        return EMBEDDED / name, None
    if str(name) in known:
        return checked_file(known[str(name)]), known[str(name)]
    if path.is_dir():
        return path, None
    if path.is_file():
        card = card_of(path)
        if card is None:
            _read_state(path)  # where it is no checkpoint at all, that is what to say
            raise PosterioriError(
                f"no card knows {path} (sha256 {sha256(path)}): convert it with "
                f"`posteriori priors convert {path} DIR --config FILE`"
            )
        return path, card
    if path.suffix in (".pt", ".pth", ".ckpt"):  # or models/mine.pt would be asked for on the Hub
        raise FileNotFoundError(f"{path} is missing: give a guided-diffusion .pt file, or a name of {', '.join(known)}")
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", str(name)):
        return _download(str(name)), None
    there = nearest(str(name), [*embedded(), *known])
    raise PosterioriError(
        f"no prior is called {str(name)!r}: there are {', '.join(there)}; or give a folder in diffusers' "
        "format, a .pt file, or org/name on the Hub"
    )


def convert_checkpoint(ckpt: Path, out_dir: Path, config_file: Path | None = None) -> None:
    """Writes the guided-diffusion checkpoint ``ckpt`` to ``out_dir`` in diffusers' format, in float32.

    ``config_file`` is JSON with guided-diffusion's flags; without one a card must know the file. Raises as
    ``load_prior`` and ``save_folder`` do.
    """
    ckpt = Path(ckpt)
    state, card = _read_state(ckpt), card_of(ckpt)
    given = read_json(Path(config_file)) if config_file else card.flags if card else {}
    flags = complete_flags(state, given)
    scheduler = card.schedule if card else _scheduler(flags)
    prediction: Prediction = card.prediction if card else "sample" if flags.get("predict_xstart") else "epsilon"
    save_folder(
        Path(out_dir),
        _network(state, flags),
        betas_from_config(scheduler),
        prediction=prediction,
        size=int(flags["image_size"]),
        name=card.name if card else ckpt.stem,
        licence=card.licence if card else "not recorded",
        dtype=torch.float32,
    )


@dataclass(frozen=True)
class PriorRow:
    """A line of ``list_priors``: ``size`` in pixels (None: any), ``bytes`` of ``file`` (None: not here)."""

    name: str
    size: int | None
    where: str  # embedded, downloaded, or not here
    file: str | None
    bytes: int | None
    licence: str


def list_priors() -> list[PriorRow]:
    """The embedded priors and those that cards describe."""
    rows = []
    for name in embedded():
        folder = read_folder(EMBEDDED / name)
        file, size = folder.weights, None if folder.any_size else folder.sides[0]
        rows.append(PriorRow(name, size, "embedded", str(file), folder.bytes, folder.licence))
    for card in cards().values():
        file = next((path for f in card.files if (path := cache_dir() / f.name).is_file()), None)
        if file is None:
            rows.append(PriorRow(card.name, card.size, "not here", None, card.files[0].bytes, card.licence))
        else:
            rows.append(PriorRow(card.name, card.size, "downloaded", str(file), file.stat().st_size, card.licence))
    return rows


def embedded() -> list[str]:
    """The names of the priors that come with the package."""
    return sorted(path.parent.name for path in EMBEDDED.glob(f"*/{WEIGHTS}"))


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "missing"
        raise FileNotFoundError(f"{path} is {what}: give a guided-diffusion .pt file")
    return named_tensors(unpickled(path), path)


def _network(state: Mapping[str, Tensor], flags: Mapping[str, Any]) -> PixelUNet:
    with torch.device("meta"):  # no time spent on initial weights
        net = UNet2D(unet_config(flags))
    net.load_state_dict({k: v.float() for k, v in convert_state_dict(state, flags).items()}, assign=True)
    return PixelUNet(net)


def _card_prior(card: Card, state: Mapping[str, Tensor], *, device: torch.device, dtype: torch.dtype) -> UNetPrior:
    return UNetPrior(
        _network(state, card.flags),
        betas_from_config(card.schedule),
        (3, card.size, card.size),
        prediction=card.prediction,
        name=card.name,
        device=device,
        dtype=dtype,
    )


def _scheduler(flags: Mapping[str, Any]) -> dict[str, Any]:
    """guided-diffusion's diffusion flags and their defaults, in diffusers' names."""
    T, name = flags.get("diffusion_steps", 1000), flags.get("noise_schedule", "linear")
    if type(T) is not int or not 1 <= T <= 100_000:
        raise PosterioriError(f"diffusion_steps is {T!r}: give a whole number, as guided-diffusion's flags have it")
    if name not in ("linear", "cosine"):
        raise PosterioriError(f"noise_schedule is {name!r}: there are linear and cosine")
    if flags.get("rescale_timesteps") and T != 1000:
        raise PosterioriError(f"rescale_timesteps with diffusion_steps {T} is not supported: only 1000 steps are")
    kind = "linear" if name == "linear" else "squaredcos_cap_v2"
    scale = 1000 / T  # guided-diffusion's: the same noise in fewer steps
    return {"beta_schedule": kind, "beta_start": scale * 1e-4, "beta_end": scale * 0.02, "num_train_timesteps": T}


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except LocalEntryNotFoundError:
        raise ConnectionError(
            f"{name!r} is not a local folder, and the Hugging Face Hub cannot be reached: give a folder that exists"
        ) from None
    except (OSError, ValueError) as error:
        raise PosterioriError(
            f"{name!r} is not a local folder, and the Hugging Face Hub says: {first_line(error)}"
        ) from None


def read_dtype(dtype: torch.dtype | str, device: torch.device | str) -> torch.dtype:
    """A network's arithmetic by name; "auto" is what ``device`` computes in."""
    if dtype == "auto":
        return auto_dtype(device)
    for name, known in DTYPES.items():
        if dtype in (name, known):
            return known
    raise PosterioriError(f"dtype is {dtype!r}: give auto, {', '.join(DTYPES)}")


def read_device(device: torch.device | str) -> torch.device:
    """A device by torch's name; "auto" is the first that torch can use here of cuda, mps and cpu.

    Raises PosterioriError where torch cannot use it.
    """
    if device == "auto":
        gpu = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(gpu)
    try:
        found = torch.device(device)
        torch.empty(1, device=found).cpu()  # torch takes names of devices that it cannot use here, and "meta"
    except (RuntimeError, AssertionError, ImportError):
        gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        there = ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
        given = f"device is {str(device)!r}, which torch cannot use here"
        raise PosterioriError(f"{given}: give auto, {' or '.join(there)}") from None
    return found

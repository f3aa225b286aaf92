"""What a prior's folder in diffusers' format says of it, without its weights.

``config.json`` and ``diffusion_pytorch_model.safetensors`` are what ``UNet2DModel.from_pretrained`` loads,
``scheduler_config.json`` is ``DDPMScheduler``'s; ``posteriori.json`` has what these have no place for. Where that has a
``noisy_above``, the folder ``noisy`` in it holds another network, for levels of sigma / alpha from there on. A
``DDPMPipeline`` folder, with ``unet/`` and ``scheduler/``, is read as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_args

from annotated_types import Ge, Gt, Le

from posteriori.bounds import check
from posteriori.errors import PosterioriError
from posteriori.files import read_json
from posteriori.hub.scheduler import is_flow, schedule_from_config
from posteriori.hub.stored import WEIGHTS, find_weights, hash_of
from posteriori.priors.unet import Prediction, is_convolutional
from posteriori.priors.unet2d import DEFAULTS

OURS = "posteriori.json"
CARD = "README.md"
NOISY = "noisy"
FILES = ("config.json", WEIGHTS, "scheduler_config.json", OURS, CARD)
#: a number of config.json that may be left out
Count = Annotated[int | None, Ge(1), Le(2**16)]


@dataclass(frozen=True)
class _Sizes:
    """The numbers of config.json, in bounds in which a network can be built and judged."""

    in_channels: Annotated[int, Ge(1), Le(2**16)] = 3
    out_channels: Annotated[int, Ge(1), Le(2**16)] = 3
    layers_per_block: Annotated[int, Ge(1), Le(64)] = 2
    time_embedding_dim: Count = None
    attention_head_dim: Count = 8
    norm_num_groups: Count = 32
    attn_norm_num_groups: Count = None
    norm_eps: Annotated[float, Gt(0), Le(1)] = 1e-5
    mid_block_scale_factor: Annotated[float, Gt(0), Le(2**16)] = 1
    freq_shift: Annotated[float, Ge(0), Le(1)] = 0
    downsample_padding: Annotated[int, Ge(0), Le(8)] = 1
    flip_sin_to_cos: bool = True
    add_attention: bool = True

    @classmethod
    def check(cls, config: Mapping[str, Any], file: Path) -> None:
        """PosterioriError where a value of ``config``, which is in ``file``, is none."""
        given = {**DEFAULTS, **config}
        widths, kinds = given["block_out_channels"], (given["down_block_types"], given["up_block_types"])
        check(cls(**{field.name: given[field.name] for field in fields(cls)}), file)
        if not _list_of(widths, lambda width: type(width) is int and 0 < width <= 2**16):
            raise PosterioriError(f"{file}: block_out_channels are {widths!r}: give 1 to 16 whole numbers")
        if not all(_list_of(own, lambda kind: type(kind) is str) and len(own) == len(widths) for own in kinds):
            raise PosterioriError(f"{file}: down_block_types and up_block_types are not {len(widths)} names each")


def _list_of(values: Any, is_one: Callable[[Any], bool]) -> bool:
    return isinstance(values, list | tuple) and 0 < len(values) <= 16 and all(map(is_one, values))


@dataclass(frozen=True)
class _Ours:
    """What ``OURS`` says, where it says it."""

    patch: Annotated[int, Ge(1), Le(64)] = 1
    size: Annotated[int | None, Ge(1), Le(2**16)] = None
    name: str | None = None
    licence: str = "not recorded"
    shift: tuple[float, float] | None = None
    noisy_above: Annotated[float | None, Gt(0), Le(1e6)] = None

    @classmethod
    def read(cls, file: Path) -> _Ours:
        """PosterioriError where a value is none."""
        values = read_json(file) if file.is_file() else {}
        own = cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})
        check(own, file)
        if own.shift is None:
            return own
        if not _list_of(own.shift, lambda end: type(end) in (int, float) and abs(end) < 1e9) or len(own.shift) != 2:
            raise PosterioriError(f"{file}: shift is {own.shift!r}: give two numbers")
        return replace(own, shift=tuple(own.shift))


@dataclass(frozen=True)
class Folder:
    """What a prior's folder says. ``config`` and ``scheduler`` as in its files; ``sides`` in pixels, at training.

    ``files`` hold the weights. ``noisy`` is the network of levels of sigma / alpha >= ``noisy_above``, if any.
    """

    name: str
    unet: Path
    config: dict[str, Any]
    scheduler: dict[str, Any]
    sides: tuple[int, int]
    files: tuple[Path, ...]
    patch: int = 1
    licence: str = "not recorded"
    shift: tuple[float, float] | None = None
    noisy: Folder | None = None
    noisy_above: float | None = None

    @property
    def weights(self) -> Path:
        """The first of the files that hold the weights."""
        return self.files[0]

    @property
    def all_files(self) -> tuple[Path, ...]:
        """The files of all its weights, those of ``noisy`` among them."""
        return self.files if self.noisy is None else (*self.files, *self.noisy.all_files)

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.all_files)

    @property
    def sha256(self) -> str:
        return hash_of(self.all_files)

    @property
    def channels(self) -> int:
        return self.config["in_channels"] // self.patch**2

    @property
    def any_size(self) -> bool:
        return is_convolutional(self.config) and self.noisy is None

    @property
    def prediction(self) -> Prediction:
        default = "flow" if is_flow(self.scheduler) else "epsilon"  # diffusers' own, where its files do not say
        return self.scheduler.get("prediction_type", default)


def read_folder(path: Path) -> Folder:
    """What the folder ``path`` says, without its weights.

    Raises FileNotFoundError where a file is missing; PosterioriError where the network, its schedule or its
    prediction is none that a prior here can use.
    """
    path = Path(path)
    piped = (path / "unet").is_dir()
    unet, scheduler = (path / "unet", path / "scheduler") if piped else (path, path)
    files = find_weights(unet)
    for file in (unet / "config.json", files[0] if files else unet / WEIGHTS, scheduler / "scheduler_config.json"):
        if not file.is_file():
            raise FileNotFoundError(f"{path} is not a prior in diffusers' format: it has no {file.relative_to(path)}")
    config, noise = read_json(unet / "config.json"), read_json(scheduler / "scheduler_config.json")
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel" or config.get("num_class_embeds") or config.get("class_embed_type"):
        raise PosterioriError(f"{unet / 'config.json'} is a {kind}, or has classes: give an unconditional UNet2DModel")
    ours = _Ours.read(path / OURS)
    if ours.noisy_above is not None and path.name == NOISY:  # or a link to the folder itself would be followed forever
        raise PosterioriError(f"{path / OURS} has a noisy_above, in the network of noisy levels: remove it there")
    _Sizes.check(config, unet / "config.json")
    size = ours.size or config.get("sample_size")
    sides = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, list) else ()
    if len(sides) != 2 or not all(type(side) is int and 0 < side <= 2**16 for side in sides):
        raise PosterioriError(
            f"{unet / 'config.json'} has sample_size {size!r}: give one or two whole numbers, in pixels"
        )
    _check_network(config, ours.patch, unet / "config.json")
    folder = Folder(
        name=path.resolve().name if ours.name is None else ours.name,
        unet=unet,
        config=config,
        scheduler=noise,
        sides=(sides[0], sides[1]),
        files=files,
        patch=ours.patch,
        licence=ours.licence,
        shift=ours.shift,
        noisy=None if ours.noisy_above is None else read_folder(path / NOISY),
        noisy_above=ours.noisy_above,
    )
    known = ["flow"] if is_flow(noise) else [name for name in get_args(Prediction) if name != "flow"]
    if folder.prediction not in known:
        raise PosterioriError(f"prediction_type is {folder.prediction!r}: give one of {', '.join(known)}")
    schedule_from_config(noise)
    return folder


def _check_network(config: Mapping[str, Any], patch: int, file: Path) -> None:
    """PosterioriError where the network is none of pictures, or none that takes any level."""
    channels, out = config.get("in_channels", 3) / patch**2, config.get("out_channels", 3) / patch**2
    if channels not in (1, 3):
        raise PosterioriError(
            f"{file} has {channels:g} channels: give a prior of pictures, with 1 or 3, and no latent one"
        )
    if out not in (channels, 2 * channels):
        raise PosterioriError(
            f"{file} has out_channels {out:g} for {channels:g}: give a network with as many, or twice"
        )
    kind = config.get("time_embedding_type", "positional")
    if kind != "positional":
        raise PosterioriError(
            f"{file} has a {kind} time embedding, as networks of the VE process have: give one with a positional "
            "embedding and a schedule of betas, or a flow"
        )

"""Everything that decides what a training run computes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from posteriori.bounds import check
from posteriori.errors import PosterioriError
from posteriori.files import read_json

Weighting = Literal["constant", "min-snr", "p2"]
Crop = Literal["centre", "random"]
Times = Literal["uniform", "log-normal", "mixed"]
Positive = Annotated[int, Ge(1), Le(2**20)]


@dataclass(frozen=True)
class TrainConfig:
    """A diffusion prior's training run. The defaults are those of ``faces-64``.

    ``channels`` are the U-Net's, one for each resolution; ``patch`` x ``patch`` pixels of its input are folded into
    channels. ``images`` counts the images seen in total. The learning rate rises over ``warmup`` steps, stays, and
    falls linearly to zero over the last ``cooldown`` fraction. ``optimiser``: see ``optimiser.Muon``. ``weighting`` of
    the loss is on the predicted quantity: see ``loop.loss_weight``. ``times``, ``min_sigma`` and ``max_sigma``: see
    ``loop.draw_times``. ``crop`` and ``min_crop``: see ``data.batch``. The run starts from the weights of the prior
    ``start``. A step's time on a CPU rises with ``norm_groups``.
    """

    # a new field's default must do what runs did before it, so that their checkpoints can be resumed

    size: Positive = 64
    patch: Annotated[int, Ge(1), Le(64)] = 2
    channels: tuple[int, ...] = (128, 128, 192)
    blocks: Annotated[int, Ge(1), Le(64)] = 1
    attention: bool = True
    norm_groups: Positive = 8
    schedule: Literal["linear", "cosine"] = "linear"
    prediction: Literal["epsilon", "v_prediction", "sample"] = "v_prediction"
    weighting: Weighting = "constant"
    times: Times = "mixed"
    min_sigma: Annotated[float, Ge(0), Le(10)] = 0.0
    max_sigma: Annotated[float | None, Gt(0)] = None
    images: Annotated[int, Ge(1)] = 160_000
    batch_size: Positive = 64
    optimiser: Literal["adamw", "muon"] = "muon"
    learning_rate: Annotated[float, Gt(0)] = 3e-3
    weight_decay: Annotated[float, Ge(0)] = 0.0
    warmup: Annotated[int, Ge(0)] = 100
    cooldown: Annotated[float, Ge(0), Le(1)] = 0.9
    clip_norm: Annotated[float, Gt(0)] = 0.5
    ema: Annotated[float, Ge(0), Le(1)] = 0.999
    crop: Crop = "centre"
    min_crop: Annotated[float, Gt(0), Le(1)] = 0.9
    colour: Annotated[float, Ge(0)] = 0.0
    holdout: str = "52::53"
    start: str | None = None
    seed: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        check(self)
        if not isinstance(self.channels, tuple) or not 0 < len(self.channels) <= 16:
            raise PosterioriError(f"channels are {self.channels!r}: give a list of 1 to 16 whole numbers")
        if not all(type(c) is int and 0 < c <= 2**16 for c in self.channels):
            raise PosterioriError(f"channels are {list(self.channels)}: give whole numbers from 1 up to {2**16}")
        if self.channels[0] % 2:
            raise PosterioriError(f"channels start with {self.channels[0]}: give an even number, for sines and cosines")
        if self.max_sigma is not None and self.max_sigma <= self.min_sigma:
            raise PosterioriError(
                f"max_sigma {self.max_sigma} is not above min_sigma {self.min_sigma}: give a larger one"
            )
        if self.size % self.stride:
            raise PosterioriError(f"size is {self.size}: this network takes multiples of {self.stride}")
        bad = [c for c in self.channels if c % self.norm_groups]
        if bad:
            raise PosterioriError(f"channels {bad} are not multiples of norm_groups = {self.norm_groups}")

    @property
    def stride(self) -> int:
        """What the sides of an image must be multiples of."""
        return self.patch * 2 ** (len(self.channels) - 1)

    @property
    def steps(self) -> int:
        return -(-self.images // self.batch_size)

    @property
    def all_levels(self) -> bool:
        """Whether the network learns every noise level, as one must that draws samples."""
        return self.min_sigma == 0 and self.max_sigma is None

    def unet_config(self) -> dict[str, Any]:
        """The arguments of diffusers' ``UNet2DModel``."""
        plain = len(self.channels) - self.attention
        return {
            "sample_size": self.size // self.patch,
            "in_channels": 3 * self.patch**2,
            "out_channels": 3 * self.patch**2,
            "block_out_channels": list(self.channels),
            "layers_per_block": self.blocks,
            "down_block_types": ["DownBlock2D"] * plain + ["AttnDownBlock2D"] * self.attention,
            "up_block_types": ["AttnUpBlock2D"] * self.attention + ["UpBlock2D"] * plain,
            "add_attention": self.attention,
            "attention_head_dim": 64 if self.channels[-1] % 64 == 0 else self.channels[-1],
            "norm_num_groups": self.norm_groups,
            "attn_norm_num_groups": self.norm_groups,
            "resnet_time_scale_shift": "scale_shift",
            "time_embedding_type": "positional",
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "norm_eps": 1e-5,
        }

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"channels": list(self.channels)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainConfig:
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise PosterioriError(
                f"unknown training setting {', '.join(map(repr, unknown))}; there are {', '.join(sorted(known))}"
            )
        if isinstance(values.get("channels"), list):
            values = values | {"channels": tuple(values["channels"])}
        return cls(**values)

    @classmethod
    def from_file(cls, path: Path) -> TrainConfig:
        return cls.from_json(read_json(path))

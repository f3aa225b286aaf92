"""guided-diffusion checkpoints as diffusers' ``UNet2DModel``, key by key.

``flags`` are guided-diffusion's own names and spellings (``channel_mult="1,2,2"``), as its command line
and the DPS configurations have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.priors.unet2d import UNet2D

Flags = Mapping[str, Any]

#: what the tensors' shapes cannot tell
UNSEEN = ("image_size", "num_head_channels", "use_new_attention_order")

#: guided-diffusion's own multipliers where channel_mult is ""
DEFAULT_MULT = {64: "1,2,3,4", 128: "1,1,2,3,4", 256: "1,1,2,2,4,4"}

#: the one value of each flag that a UNet2DModel can reproduce, and guided-diffusion's default
SUPPORTED = {
    "class_cond": (False, False),
    "resblock_updown": (True, False),
    "use_scale_shift_norm": (True, True),
}

RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


def unet_config(flags: Flags) -> dict[str, Any]:
    """The arguments of the ``UNet2DModel`` that computes the same as the guided-diffusion U-Net of ``flags``.

    Raises PosterioriError if a flag is missing, or has a value that no ``UNet2DModel`` reproduces.
    """
    missing = [k for k in (*UNSEEN, "num_channels", "num_res_blocks", "attention_resolutions") if k not in flags]
    if missing:
        raise PosterioriError(f"the model's configuration lacks {', '.join(missing)}: give guided-diffusion's flags")
    for flag, (value, default) in SUPPORTED.items():
        if bool(flags.get(flag, default)) != value:
            raise PosterioriError(
                f"{flag} is {flags.get(flag, default)}: only models with {flag}: {value} can be converted"
            )
    head = _whole(flags, "num_head_channels", -1)
    if head < 1:
        raise PosterioriError(
            f"num_head_channels is {head}: only models with a fixed number of channels a head are supported"
        )
    size, base, blocks = (_whole(flags, name, 1) for name in ("image_size", "num_channels", "num_res_blocks"))
    channels = [base * mult for mult in _multipliers(flags)]
    attends = _attends(flags, len(channels))
    uneven = [c for c, a in zip(channels, attends, strict=True) if a and c % head] or [c for c in channels if c % 32]
    if uneven:
        raise PosterioriError(f"channels {uneven} are not multiples of 32 and of num_head_channels = {head}")
    down = ["AttnDownBlock2D" if a else "ResnetDownsampleBlock2D" for a in attends]
    up = ["AttnUpBlock2D" if a else "ResnetUpsampleBlock2D" for a in reversed(attends)]
    return {
        "sample_size": size,
        "in_channels": 3,
        "out_channels": 6 if flags.get("learn_sigma", False) else 3,
        "block_out_channels": channels,
        "layers_per_block": blocks,
        "down_block_types": down,
        "up_block_types": up,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "attention_head_dim": head,
        "norm_num_groups": 32,
        "attn_norm_num_groups": 32,  # without it the middle attention silently has no group norm
        "norm_eps": 1e-5,
        "resnet_time_scale_shift": "scale_shift",
        "time_embedding_type": "positional",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
    }


def convert_state_dict(state: Mapping[str, Tensor], flags: Flags) -> dict[str, Tensor]:
    """``state`` of a guided-diffusion U-Net, with the keys of ``UNet2DModel(**unet_config(flags))``.

    Tensors keep their dtype. Raises PosterioriError if keys are missing or left over, or a shape differs.
    """
    config = unet_config(flags)
    with torch.device("meta"):
        expected = {k: tuple(v.shape) for k, v in UNet2D(config).state_dict().items()}
    converted: dict[str, Tensor] = {}
    used: set[str] = set()
    missing: list[str] = []
    for source, target, kind in _modules(config):
        for name in ("weight", "bias"):
            key, to = f"{source}.{name}", f"{target}.{name}"
            wanted = expected.get(to if kind != "qkv" else f"{target}.to_q.{name}")
            if wanted is None:  # a residual block that keeps its channels has no shortcut
                continue
            if key not in state:
                missing.append(key)
                continue
            used.add(key)
            tensor = state[key]
            shape = (3 * wanted[0], *wanted[1:]) if kind == "qkv" else wanted
            if kind != "plain" and name == "weight":
                shape = (*shape, 1)  # attention's linears are one-pixel convolutions in guided-diffusion
            if tuple(tensor.shape) != shape:
                raise PosterioriError(f"{key} has shape {tuple(tensor.shape)}, the configuration gives {shape}")
            if kind == "qkv":
                parts = _split_qkv(tensor, config["attention_head_dim"], bool(flags["use_new_attention_order"]))
                for part, values in zip(("to_q", "to_k", "to_v"), parts, strict=True):
                    converted[f"{target}.{part}.{name}"] = values
            else:
                converted[to] = tensor.reshape(wanted)
    unexpected = [k for k in state if k not in used]
    if missing or unexpected:
        raise PosterioriError(
            f"the file is not this configuration's: missing {_some(missing)}; unexpected {_some(unexpected)}"
        )
    return converted


def flags_from_shapes(state: Mapping[str, Tensor], image_size: int) -> dict[str, Any]:
    """The flags that follow from the tensors' shapes; ``image_size`` in pixels, since attention is named by resolution.

    The packing order of q, k and v and the channels per head do not follow from shapes: files that differ in these load
    without an error into a wrong network.
    """
    blocks = sorted({int(k.split(".")[1]) for k in state if k.startswith("output_blocks.")})
    try:
        base, out = state["input_blocks.0.0.weight"].shape[0], state["out.2.weight"].shape[0]
        embedding = state["input_blocks.1.0.emb_layers.1.weight"].shape[0]
        widths = [state[f"output_blocks.{i}.0.out_layers.3.weight"].shape[0] for i in blocks]
    except KeyError as error:
        raise PosterioriError(f"the file has no {error.args[0]}: it is not a guided-diffusion U-Net") from None
    # with resblock_updown, the last block of a level also holds the residual block that up-samples
    ends = [i for i in blocks if any(f"output_blocks.{i}.{j}.in_layers.0.weight" in state for j in (1, 2))]
    levels = [*ends, blocks[-1]][::-1]  # the finest first
    attends = [f"output_blocks.{i}.1.qkv.weight" in state for i in levels]
    return {
        "num_channels": base,
        "num_res_blocks": len(blocks) // len(levels) - 1,
        "channel_mult": ",".join(str(widths[i] // base) for i in levels),
        "attention_resolutions": ",".join(str(image_size >> n) for n, attend in enumerate(attends) if attend),
        "learn_sigma": out == 6,
        "class_cond": "label_emb.weight" in state,
        "resblock_updown": bool(ends),
        "use_scale_shift_norm": embedding == 2 * widths[-1],
    }


def complete_flags(state: Mapping[str, Tensor], given: Flags) -> dict[str, Any]:
    """``given``, completed from the shapes of ``state``; raises PosterioriError if ``given`` lacks the rest."""
    missing = [k for k in UNSEEN if k not in given]
    if missing:
        raise PosterioriError(
            f"the tensors' shapes do not tell {', '.join(missing)}: give --config FILE, JSON with {', '.join(UNSEEN)}"
        )
    return {**flags_from_shapes(state, _whole(given, "image_size", 1)), **given}


def _multipliers(flags: Flags) -> list[int]:
    mult = flags.get("channel_mult") or DEFAULT_MULT.get(_whole(flags, "image_size", 1), "")
    try:
        found = [int(m) for m in (mult.split(",") if isinstance(mult, str) else mult)]
    except (ValueError, TypeError, OverflowError):
        found = []
    if not 0 < len(found) <= 16 or not all(0 < m <= 64 for m in found):
        raise PosterioriError(f"channel_mult is {mult!r}: give whole numbers like '1,2,2'")
    return found


def _whole(flags: Flags, name: str, least: int) -> int:
    """A flag that is a whole number, from JSON or as text; PosterioriError if it is none."""
    value = flags[name]
    text = value.strip() if isinstance(value, str) else str(value)
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,6}", text, re.ASCII) or int(text) < least:
        raise PosterioriError(f"{name} is {value!r}: give a whole number, as guided-diffusion's flags have it")
    return int(text)


def _attends(flags: Flags, levels: int) -> list[bool]:
    named = str(flags["attention_resolutions"]).strip("[]()")
    try:
        resolutions = [int(r) for r in named.split(",") if r.strip()]
    except ValueError:
        raise PosterioriError(f"attention_resolutions are {named!r}: give sides in pixels, like '16,8'") from None
    attends = [_whole(flags, "image_size", 1) >> level in resolutions for level in range(levels)]
    if sum(attends) != len(resolutions):
        raise PosterioriError(
            f"attention_resolutions {named!r} are not levels of a network at image_size {flags['image_size']}"
        )
    return attends


def _modules(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(guided-diffusion's module, diffusers' module, "plain" | "linear" | "qkv") for every layer with weights."""

    def residual(source: str, target: str) -> Iterator[tuple[str, str, str]]:
        yield from ((f"{source}.{a}", f"{target}.{b}", "plain") for a, b in RESIDUAL.items())

    def attention(source: str, target: str) -> Iterator[tuple[str, str, str]]:
        yield f"{source}.norm", f"{target}.group_norm", "plain"
        yield f"{source}.qkv", target, "qkv"
        yield f"{source}.proj_out", f"{target}.to_out.0", "linear"

    def level(side: str, n: int, first: int, blocks: int, attends: bool) -> Iterator[tuple[str, str, str]]:
        for j in range(blocks):
            yield from residual(f"{side}put_blocks.{first + j}.0", f"{names[side]}.{n}.resnets.{j}")
            if attends:
                yield from attention(f"{side}put_blocks.{first + j}.1", f"{names[side]}.{n}.attentions.{j}")

    names = {"in": "down_blocks", "out": "up_blocks"}
    levels, blocks = len(config["block_out_channels"]), config["layers_per_block"]
    yield "time_embed.0", "time_embedding.linear_1", "plain"
    yield "time_embed.2", "time_embedding.linear_2", "plain"
    yield "input_blocks.0.0", "conv_in", "plain"
    for n, kind in enumerate(config["down_block_types"]):
        first = 1 + n * (blocks + 1)
        yield from level("in", n, first, blocks, kind.startswith("Attn"))
        if n < levels - 1:
            yield from residual(f"input_blocks.{first + blocks}.0", f"down_blocks.{n}.downsamplers.0")
    yield from residual("middle_block.0", "mid_block.resnets.0")
    yield from attention("middle_block.1", "mid_block.attentions.0")
    yield from residual("middle_block.2", "mid_block.resnets.1")
    for n, kind in enumerate(config["up_block_types"]):
        attends = kind.startswith("Attn")
        first = n * (blocks + 1)
        yield from level("out", n, first, blocks + 1, attends)
        if n < levels - 1:
            yield from residual(f"output_blocks.{first + blocks}.{1 + attends}", f"up_blocks.{n}.upsamplers.0")
    yield "out.0", "conv_norm_out", "plain"
    yield "out.2", "conv_out", "plain"


def _split_qkv(tensor: Tensor, head: int, new_order: bool) -> tuple[Tensor, ...]:
    """q, k and v, (C, C) weights or (C,) biases, from rows packed as (head, 3, channel), or (3, head, channel)."""
    if tensor.ndim == 3:
        tensor = tensor.squeeze(-1)
    if new_order:
        return tensor.chunk(3)
    rows = tensor.unflatten(0, (-1, 3, head))
    return tuple(rows[:, i].flatten(0, 1) for i in range(3))


def _some(keys: list[str]) -> str:
    return (", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")) or "none"

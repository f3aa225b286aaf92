"""diffusers' ``UNet2DModel`` as frozen priors need it: weights of the same names, and the same numbers up to rounding.

diffusers remains the format, the reference of the tests, and the network for all configurations that are not known
here. Importing its own network takes longer than restoring a small picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posteriori.priors.norm import group_norm_silu

#: the arguments of ``UNet2DModel`` with its defaults
DEFAULTS: dict[str, Any] = {
    "sample_size": None, "in_channels": 3, "out_channels": 3, "center_input_sample": False,
    "time_embedding_type": "positional", "time_embedding_dim": None, "freq_shift": 0, "flip_sin_to_cos": True,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (224, 448, 672, 896), "layers_per_block": 2, "mid_block_scale_factor": 1,
    "downsample_padding": 1, "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.0, "act_fn": "silu",
    "attention_head_dim": 8, "norm_num_groups": 32, "attn_norm_num_groups": None, "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default", "add_attention": True, "class_embed_type": None, "num_class_embeds": None,
    "num_train_timesteps": None,
}  # fmt: skip

#: the values computed here, of arguments that may have others in diffusers
_KNOWN: dict[str, tuple[Any, ...]] = {
    "center_input_sample": (False,),
    "time_embedding_type": ("positional",),
    "mid_block_type": ("UNetMidBlock2D",),
    "downsample_padding": (1,),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "act_fn": ("silu", "swish"),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
}
_DOWN = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")
_UP = ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")


def is_known(config: Mapping[str, Any]) -> bool:
    """Whether ``UNet2D`` computes the same as a ``UNet2DModel`` of this configuration; names with "_" are ignored."""
    given = {key: value for key, value in config.items() if not key.startswith("_")}
    full = DEFAULTS | given
    widths, groups = full["block_out_channels"], full["norm_num_groups"]
    middle = full["attn_norm_num_groups"] or full["resnet_time_scale_shift"] == "default" or not full["add_attention"]
    return (
        given.keys() <= DEFAULTS.keys()
        and all(full[key] in values for key, values in _KNOWN.items())
        and all(kind in _DOWN for kind in full["down_block_types"])
        and all(kind in _UP for kind in full["up_block_types"])
        and len(full["down_block_types"]) == len(full["up_block_types"]) == len(widths)
        and bool(groups and middle and full["attention_head_dim"])
        and widths[0] % 2 == 0
    )


class UNet2D(nn.Module):
    """A ``UNet2DModel`` in eval mode, with a configuration that ``is_known``; ``config`` is complete."""

    down_blocks: Any  # of Stage each, which a ModuleList does not say
    up_blocks: Any

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        self.config = c = DEFAULTS | {key: value for key, value in config.items() if not key.startswith("_")}
        widths, layers = c["block_out_channels"], c["layers_per_block"]
        embedded = c["time_embedding_dim"] or 4 * widths[0]
        groups, eps = c["norm_num_groups"], c["norm_eps"]

        def residual(inputs: int, outputs: int, side: float = 1, divide: float = 1) -> Residual:
            scaled = c["resnet_time_scale_shift"] == "scale_shift"
            return Residual(inputs, outputs, embedded, groups, eps, scaled=scaled, side=side, divide=divide)

        def attention(kind: str, width: int, n: int) -> list[Attention]:
            return [Attention(width, c["attention_head_dim"], groups, eps) for _ in range(n * ("Attn" in kind))]

        def resampler(kind: str, width: int, side: float) -> nn.Module:
            how = c["downsample_type" if side < 1 else "upsample_type"] if "Attn" in kind else "conv"
            if kind.startswith("Resnet") or how == "resnet":
                return residual(width, width, side)
            return Resample(width, side)

        self.conv_in = nn.Conv2d(c["in_channels"], widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(widths[0], embedded, flip=c["flip_sin_to_cos"], shift=c["freq_shift"])
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        kept, width = [widths[0]], widths[0]
        for n, (kind, outputs) in enumerate(zip(c["down_block_types"], widths, strict=True)):
            inputs, width = [width] + [outputs] * (layers - 1), outputs
            stage = Stage([residual(i, width) for i in inputs], attention(kind, width, layers))
            kept += [width] * layers
            if n < len(widths) - 1:
                stage.downsamplers.append(resampler(kind, width, 0.5))
                kept.append(width)
            self.down_blocks.append(stage)
        divide, middle = c["mid_block_scale_factor"], []
        if c["add_attention"]:
            middle.append(Attention(width, c["attention_head_dim"], c["attn_norm_num_groups"] or groups, eps, divide))
        self.mid_block = Stage([residual(width, width, 1, divide) for _ in range(2)], middle)
        for n, (kind, outputs) in enumerate(zip(c["up_block_types"], reversed(widths), strict=True)):
            inputs, width = [width] + [outputs] * layers, outputs
            stage = Stage([residual(i + kept.pop(), width) for i in inputs], attention(kind, width, layers + 1))
            if n < len(widths) - 1:
                stage.upsamplers.append(resampler(kind, width, 2))
            self.up_blocks.append(stage)
        self.conv_norm_out = nn.GroupNorm(groups, widths[0], eps)
        self.conv_out = nn.Conv2d(widths[0], c["out_channels"], 3, padding=1)

    def forward(self, x: Tensor, time: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        """The output for ``x`` (B, C, H, W) at ``time``, (B,) or one for all, (1,); called as diffusers' is."""
        e = F.silu(self.time_embedding(time))
        x = self.conv_in(x)
        skips = [x]
        for stage in self.down_blocks:
            for i in range(len(stage.resnets)):
                skips.append(x := stage(i, x, e))
            for down in stage.downsamplers:
                skips.append(x := down(x, e))
        for i in range(2):
            x = self.mid_block(i, x, e)
        for stage in self.up_blocks:
            for i in range(len(stage.resnets)):
                x = stage(i, torch.cat([x, skips.pop()], 1), e)
            for up in stage.upsamplers:
                x = up(x, e)
        return (self.conv_out(normalised(x, self.conv_norm_out)),)


class Stage(nn.Module):
    """Residual blocks at one side, with attention after the first, and the way to the next side."""

    def __init__(self, resnets: list[Residual], attentions: list[Attention]):
        super().__init__()
        self.resnets, self.attentions = nn.ModuleList(resnets), nn.ModuleList(attentions)
        self.downsamplers, self.upsamplers = nn.ModuleList(), nn.ModuleList()

    def forward(self, i: int, x: Tensor, e: Tensor) -> Tensor:
        x = self.resnets[i](x, e)
        return self.attentions[i](x) if i < len(self.attentions) else x


class Residual(nn.Module):
    """(B, C, H, W) and the embedding (B, E), or (1, E), to (B, C', H side, W side)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedded: int,
        groups: int,
        eps: float,
        *,
        scaled: bool,
        side: float,
        divide: float,
    ):
        super().__init__()
        self.scaled, self.side, self.divide = scaled, side, divide
        self.norm1 = nn.GroupNorm(groups, inputs, eps)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedded, 2 * outputs if scaled else outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, eps)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.conv1(resized(normalised(x, self.norm1), self.side))
        x = resized(x, self.side)
        e = self.time_emb_proj(e)
        h = normalised(h, self.norm2, *e.chunk(2, 1)) if self.scaled else normalised(h + e[..., None, None], self.norm2)
        h = self.conv2(h)
        h = (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h
        return h if self.divide == 1 else h / self.divide


class Attention(nn.Module):
    """Self-attention over the pixels of (B, C, H, W), added to it."""

    def __init__(self, width: int, head: int, groups: int, eps: float, divide: float = 1):
        super().__init__()
        self.heads, self.divide = width // head, divide
        self.group_norm = nn.GroupNorm(groups, width, eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, self.heads * head) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(self.heads * head, width)])

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.group_norm(x).flatten(2).mT  # (B, H W, C)
        q, k, v = (
            to(pixels).unflatten(2, (self.heads, -1)).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v)
        )
        # for so few pixels, torch's gradient takes 2 to 15 times as long in bfloat16 on a CPU, and rounds less
        few = self.training and q.dtype == torch.bfloat16 and not q.is_cuda and q.shape[2] <= 256
        h = (attended if few else F.scaled_dot_product_attention)(q, k, v).transpose(1, 2).flatten(2)
        h = x + self.to_out[0](h).mT.unflatten(2, x.shape[2:])
        return h if self.divide == 1 else h / self.divide


class Resample(nn.Module):
    """Half or twice the side, by a convolution; the embedding is not used."""

    def __init__(self, width: int, side: float):
        super().__init__()
        self.side = side
        self.conv = nn.Conv2d(width, width, 3, stride=2 if side < 1 else 1, padding=1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return self.conv(x if self.side < 1 else resized(x, self.side))


class TimeEmbedding(nn.Module):
    """Sines and cosines of the times (B,), then two layers: (B, ``embedded``)."""

    def __init__(self, width: int, embedded: int, *, flip: bool, shift: float):
        super().__init__()
        self.pairs, self.flip, self.shift = width // 2, flip, shift
        self.linear_1, self.linear_2 = nn.Linear(width, embedded), nn.Linear(embedded, embedded)

    def forward(self, time: Tensor) -> Tensor:
        steps = torch.arange(self.pairs, dtype=torch.float32, device=time.device)
        angles = time.float()[:, None] * torch.exp(-math.log(10000) * steps / (self.pairs - self.shift))
        waves = (angles.cos(), angles.sin()) if self.flip else (angles.sin(), angles.cos())
        return self.linear_2(F.silu(self.linear_1(torch.cat(waves, 1).to(self.linear_1.weight.dtype))))


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v of ``q``, ``k`` and ``v`` (B, heads, pixels, D)."""
    return (q @ k.mT / math.sqrt(q.shape[3])).softmax(-1) @ v


def resized(x: Tensor, side: float) -> Tensor:
    """``x`` at half the side by means of 2 x 2 pixels, at twice the side by repetition, or unchanged."""
    if side == 1:
        return x
    return F.avg_pool2d(x, 2) if side < 1 else F.interpolate(x, scale_factor=2.0, mode="nearest")


def normalised(x: Tensor, norm: nn.GroupNorm, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """silu(norm(x) (1 + scale) + shift) of ``x`` (B, C, H, W), with ``scale`` and ``shift`` (B, C), (1, C) or none."""
    w, b = norm.weight, norm.bias
    if scale is None or shift is None:
        return group_norm_silu(x, norm.num_groups, w, b, norm.eps)
    if len(scale) == 1:  # one time for all, as in sampling: part of the norm's own weight and bias, no pass over x
        scale, shift = 1 + scale[0], shift[0]
        return group_norm_silu(x, norm.num_groups, w * scale, b * scale + shift, norm.eps)
    return F.silu(norm(x) * (1 + scale[..., None, None]) + shift[..., None, None])

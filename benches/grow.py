"""The weights that faces-128 begins its training with: faces-64 as the trunk of a network for twice the side.

    python benches/grow.py faces-64 --channels 32 --out out/faces-128-start

The new network has one finer level before the old ones. The mean of 2 x 2 pixels has half their noise, so the trunk
hears, at a noise level sigma, the time that it knew for sigma / 2. Tensors whose shape is the old one's are the old
one's; the projections of the time embedding, whose width differs, are fitted to the old ones by least squares over all
times; the rest begins at random.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from posteriori.priors.folder import save_folder
from posteriori.priors.load import load_prior
from posteriori.training.config import TrainConfig
from posteriori.training.loop import build_network, build_schedule

#: what stays with a network's first level, or is of its own width
OWN = ("conv_", "time_embedding", "down_blocks.0.resnets.0.norm1")


def deeper(name: str) -> str:
    """The parameter's name one level further down; ascending blocks are counted from the deepest."""
    head, _, tail = name.partition(".")
    if head != "down_blocks":
        return name
    level, _, rest = tail.partition(".")
    return f"down_blocks.{int(level) + 1}.{rest}"


def embeddings(net: Any, times: Tensor) -> Tensor:
    """(T, channels) what the residual blocks project, at ``times``."""
    return F.silu(net.time_embedding(net.time_proj(times)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior")
    parser.add_argument("--channels", type=int, default=32, help="of the new level")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    prior = load_prior(args.prior, dtype="float32")
    old: Any = prior.net.net
    channels = (args.channels, *old.config["block_out_channels"])
    config = replace(TrainConfig(), size=2 * prior.shape[-1], channels=channels, prediction="v_prediction")
    torch.manual_seed(args.seed)
    grown = build_network(config)
    new: Any = grown.net

    schedule = build_schedule(config)
    times = torch.arange(schedule.T).float()
    halved = torch.tensor([schedule.time(math.exp(log) / 2) - 1 for log in schedule.log_sigma_bar]).float()
    with torch.no_grad():
        features = torch.cat([embeddings(new, times), torch.ones(schedule.T, 1)], dim=1).double()
        heard = embeddings(old, halved)
    state, copied, fitted = new.state_dict(), 0, 0
    for name, value in old.state_dict().items():
        target = deeper(name)
        if name.endswith("time_emb_proj.weight"):
            bias = name.replace("weight", "bias")
            told = (heard @ value.T + old.state_dict()[bias]).double()
            ridge = torch.cat([features, 1e-3 * torch.eye(features.shape[1]).double()])
            solution = torch.linalg.lstsq(ridge, torch.cat([told, told.new_zeros(features.shape[1], told.shape[1])]))
            state[target], state[deeper(bias)] = solution.solution[:-1].T.float(), solution.solution[-1].float()
            fitted += 1
        elif not name.startswith(OWN) and "time_emb_proj" not in name and state[target].shape == value.shape:
            state[target] = value
            copied += 1
    new.load_state_dict(state)
    print(f"{copied} of {len(state)} tensors copied, {fitted} time projections fitted")
    save_folder(
        args.out,
        grown,
        schedule,
        prediction=config.prediction,
        size=config.size,
        name=f"{prior.name}-grown",
        licence="as the prior's that it was grown from",
        dtype=torch.float32,
    )


if __name__ == "__main__":
    main()

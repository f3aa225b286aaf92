"""The network of a prior at twice the side, as the start of a training run: python training/enlarge.py faces-64 OUT.

It sees 2 ``patch`` x 2 ``patch`` pixels folded into channels, so that all of it but its two ends is the network that it
was, at the cost that it had. Its first convolution takes the mean of 2 x 2 pixels where it took a pixel, and its last
one gives four pixels the value of one. The mean has half of the noise: the time's embedding is fitted anew, so
that a time means to the network what that of half of the sigma meant. It estimates x_0, which is -v where nothing is
seen but noise: an estimate of v has to pass on the noise of every pixel, for which it has too few channels.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.hub.contents import read_folder
from posteriori.hub.folder import save_folder
from posteriori.hub.load import EMBEDDED, embedded, load_prior
from posteriori.priors.unet import PixelUNet


def unfolded(weight: Tensor, patch: int, dim: int) -> Tensor:
    """Weights for channels of ``patch`` x ``patch`` pixels, repeated in ``dim`` for twice the patch."""
    pixels = weight.unflatten(dim, (-1, patch, patch))
    return pixels.repeat_interleave(2, dim + 1).repeat_interleave(2, dim + 2).flatten(dim, dim + 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prior", choices=embedded())
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    prior: Any = load_prior(args.prior, dtype="float32")
    if prior.prediction != "v_prediction":
        raise PosterioriError(f"{args.prior} estimates {prior.prediction}: give a prior that estimates v")
    folder, patch, state = read_folder(EMBEDDED / args.prior), prior.net.patch, prior.net.net.state_dict()

    # at the noisiest levels the mean of four pixels has half of the noise, which the network was trained to see whole
    state["conv_in.weight"] = unfolded(state["conv_in.weight"], patch, 1) / 4 * 1.5
    state["conv_out.weight"] = -unfolded(state["conv_out.weight"], patch, 0)
    state["conv_out.bias"] = -unfolded(state["conv_out.bias"], patch, 0)

    ends = {key: 4 * folder.config[key] for key in ("in_channels", "out_channels")}
    net = UNet2DModel.from_config(folder.config | ends)
    schedule = prior.schedule
    lowest = schedule.log_sigma_bar[0]
    halved = [schedule.time(math.exp(max(bar - math.log(2), lowest))) for bar in schedule.log_sigma_bar]
    ones = torch.ones(schedule.T, 1, dtype=torch.float64)
    now, then = (
        torch.cat([net.time_proj(schedule.index(times)).double(), ones], 1)
        for times in (torch.arange(1, schedule.T + 1), torch.tensor(halved))
    )
    layer = "time_embedding.linear_1"
    before = torch.cat([state[f"{layer}.weight"].T, state[f"{layer}.bias"][None]]).double()
    meant = then @ before
    # by ridge regression towards the weights before: without it they grow to 1e7, and no half precision holds that
    fitted = before + torch.linalg.solve(now.T @ now + torch.eye(len(before)), now.T @ (meant - now @ before))
    print(f"time's embedding: RMS {meant.std():.3g}, error {(now @ fitted - meant).std():.3g}")
    state[f"{layer}.weight"], state[f"{layer}.bias"] = fitted[:-1].T.float(), fitted[-1].float()

    net.load_state_dict(state)
    save_folder(
        args.out,
        PixelUNet(net, 2 * patch),
        schedule,
        prediction="sample",
        size=2 * folder.sides[0],
        name=args.out.name,
        licence=folder.licence,
        dtype=torch.float32,
        overwrite=True,
    )


if __name__ == "__main__":
    main()

"""Times that the project promises: --help, one DPS step, and bfloat16 against float32 (alternating, medians)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from posteriori.hub.cards import load_card
from posteriori.hub.convert import unet_config
from posteriori.hub.load import load_prior
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import GaussianBlur
from posteriori.priors.base import Prior
from posteriori.priors.unet import PixelUNet, UNetPrior
from posteriori.samplers import DPS
from posteriori.schedule import linear_betas


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def dps(prior: Prior, batch: int, steps: int) -> Callable[[], object]:
    operator = GaussianBlur(prior.shape, sigma=1.5)
    like = Gaussian(torch.zeros(batch, *prior.shape), operator, 0.05)
    return lambda: sample(prior, like, DPS(steps=steps), progress=False)


def ffhq_256(dtype: torch.dtype) -> UNetPrior:
    """The FFHQ-256 network with random weights: its speed does not depend on them."""
    net = UNet2DModel(**unet_config(load_card("ffhq-256").flags))
    return UNetPrior(PixelUNet(net), linear_betas(), (3, 256, 256), dtype=dtype)


def main() -> None:
    command = [sys.executable, "-c", "from posteriori.cli import main; main()", "--help"]
    helps = [seconds(lambda: subprocess.run(command, capture_output=True, check=True)) for _ in range(5)]
    print(f"posteriori --help: {statistics.median(helps):.2f} s")
    for batch in (1, 8):
        priors = {name: load_prior("faces-64", dtype=name) for name in ("float32", "bfloat16")}
        compare(f"faces-64, batch {batch}", priors, batch, steps=20, repeats=5)
    compare("FFHQ-256 U-Net", {str(d)[6:]: ffhq_256(d) for d in (torch.float32, torch.bfloat16)}, 1, steps=1, repeats=3)


def compare(label: str, priors: dict[str, Prior], batch: int, *, steps: int, repeats: int) -> None:
    for prior in priors.values():
        dps(prior, batch, 1)()
    runs = [{name: seconds(dps(prior, batch, steps)) / steps for name, prior in priors.items()} for _ in range(repeats)]
    median = {name: statistics.median(run[name] for run in runs) for name in priors}
    ratio = statistics.median(run["float32"] / run["bfloat16"] for run in runs)
    shown = ", ".join(f"{name} {1000 * value / batch:.0f} ms an image" for name, value in median.items())
    print(f"one DPS step, {label}: {shown}; bfloat16 is {ratio:.1f} times faster")


if __name__ == "__main__":
    main()

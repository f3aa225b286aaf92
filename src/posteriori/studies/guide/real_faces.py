"""Compares face priors on held-out real faces in a Markdown table: one network call, and three restorations.

    python -m posteriori.studies.guide.real_faces faces-64 out/train/faces-64/prior --data DATA --out out/real-faces
    python -m posteriori.studies.guide.real_faces faces-128 BEFORE --size 128 --data DATA --out out/real-faces-128

The faces are every 40th of ffhq-64.zip (above 64 pixels: every 40th of CelebA's, the first six) and the ten of ffhq256/
reduced. All priors use the settings of the first one, so that their weights can be compared. Sheets of the restorations
go into OUT.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from posteriori.hub.load import load_prior
from posteriori.images.pixels import from_bytes
from posteriori.images.sheets import sheet
from posteriori.kernels import forward
from posteriori.metrics import lpips, psnr
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.rng import Purpose, Rng
from posteriori.sampler import Sampler
from posteriori.samplers import DPS, DiffPIR, PiGDM
from posteriori.settings.presets import resolve
from posteriori.studies.evaluation.denoising import network_call
from posteriori.studies.guide.heldout import run, split_folder
from posteriori.studies.table import Table
from posteriori.studies.tasks import SIGMA_Y, T_DENOISE, Task, tasks
from posteriori.training.data import list_names, load_images


def real_faces(data: Path, size: int) -> Tensor:
    """The held-out faces, (N, 3, size, size) on [-1, 1]."""
    small, celeba, large = data / "ffhq-64.zip", data / "faces-real-128.zip", data / "ffhq256"
    archive, folder, most = (small, "", None) if size <= 64 else (celeba, "celeba/", 6)
    names = split_folder(archive, folder, "39::40")[1]
    pixels = [load_images(archive, names[:most], size).pixels, load_images(large, list_names(large), size).pixels]
    return from_bytes(torch.cat([torch.as_tensor(p) for p in pixels]))


def denoised(prior: Prior, truth: Tensor) -> Tensor:
    """E[x_0 | x_t] at t = 100, of x_t drawn with seed 0."""
    t = prior.schedule.level(T_DENOISE)
    noise = Rng(0, range(len(truth)), purpose=Purpose.MEASUREMENT).normal(truth.shape[1:])
    return network_call(prior)(forward(truth, t, noise), t)


def restorations(box: Task, blur: Task, first: Prior) -> list[tuple[str, Operator, Sampler]]:
    """(name, operator, sampler) of each."""
    dps = resolve(DPS, blur.operator, first, steps=250, sigma=SIGMA_Y).sampler
    return [
        (f"{blur.label}: DiffPIR(1, 1), 30 steps", blur.operator, DiffPIR(steps=30, lambda_=1, zeta=1)),
        (f"{blur.label}: DPS, 250 steps", blur.operator, dps),
        (f"{box.label}: PiGDM, 100 steps", box.operator, PiGDM(steps=100)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("priors", nargs="+", help="names or folders")
    parser.add_argument("--data", type=Path, required=True, help="folder of ffhq256, ffhq-64.zip, faces-real-128.zip")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64, help="the faces' side in pixels")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    truth = real_faces(args.data, args.size)
    priors = {name: load_prior(name).at(args.size) for name in args.priors}
    first = next(iter(priors.values()))

    def scores(x: Tensor) -> str:
        return f"{psnr(x, truth).mean():.2f} / {lpips(x, truth).mean():.4f}"

    lines = []
    rows = [(f"one call at t = {T_DENOISE}", [denoised(prior, truth) for prior in priors.values()])]
    for name, operator, sampler in restorations(*tasks(first.shape), first):
        rows.append((name, [run(prior, operator, sampler, truth)[1] for prior in priors.values()]))
    for name, found in rows:
        lines.append((name, *map(scores, found)))
        sheet(
            torch.cat([truth[:8], *(x[:8] for x in found)]), args.out / f"{name.split(':')[-1].strip()}.png", columns=8
        )
    table = Table("", "", (f"{len(truth)} faces, PSNR (dB) / LPIPS", *priors), lines).markdown()
    (args.out / "real-faces.md").write_text(table + "\n", "utf-8")
    print(table)


if __name__ == "__main__":
    main()

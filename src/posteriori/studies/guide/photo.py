"""Colour denoising of the 20 photographs that the prior `photo` has not seen: one network call, beside BM3D.

    python -m posteriori.studies.guide.photo --data DATA --prior runs/photo/prior --out out/photo

BM3D (Dabov et al. 2007) is the package bm3d, free for non-commercial use, to be installed by hand. It takes half a
minute per photograph, so its PSNRs are kept in OUT/bm3d.csv.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from torch import Tensor

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.metrics import psnr
from posteriori.rng import Purpose, Rng
from posteriori.schedule import Level, Schedule
from posteriori.studies.evaluation.denoising import bm3d, network_call
from posteriori.studies.table import Table
from posteriori.training.data import list_names, split_names

HELD_OUT = "19::20"
#: noise levels, of 255
SIGMAS = (15, 25, 50)


def score(
    denoise: Callable[[Tensor, Level], Tensor], folder: Path, schedule: Schedule, log: Path
) -> dict[int, list[float]]:
    """PSNR (dB) of every photograph by noise level. Reuses those in ``log`` (sigma, name, PSNR), adds others."""
    known = {}
    if log.exists():
        with log.open(newline="") as file:
            known = {(int(sigma), name): float(value) for sigma, name, value in csv.reader(file)}
    result = {sigma: [] for sigma in SIGMAS}
    for sigma in SIGMAS:
        level = schedule.at_noise(sigma / 127.5)
        for i, name in enumerate(split_names(list_names(folder), HELD_OUT)[1]):
            if (sigma, name) not in known:
                x = load_image(folder / name)
                y = x + level.sigma * Rng(0, [i], purpose=Purpose.MEASUREMENT).normal(x.shape[1:])
                known[sigma, name] = psnr(denoise(y, level), x).item()
                with log.open("a", newline="") as file:
                    csv.writer(file).writerow((sigma, name, f"{known[sigma, name]:.4f}"))
            result[sigma].append(known[sigma, name])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds bsds500-train")
    parser.add_argument("--prior", default="photo")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    folder = args.data / "bsds500-train"
    prior = load_prior(args.prior)
    (args.out / "prior.csv").unlink(missing_ok=True)
    started = time.perf_counter()
    ours = score(network_call(prior), folder, prior.schedule, args.out / "prior.csv")
    seconds = (time.perf_counter() - started) / sum(map(len, ours.values()))
    theirs = score(lambda y, level: bm3d()(y, level), folder, prior.schedule, args.out / "bm3d.csv")
    rows = []
    for sigma in SIGMAS:
        gain = [a - b for a, b in zip(ours[sigma], theirs[sigma], strict=True)]
        means = (f"{fmean(own[sigma]):.2f}" for own in (ours, theirs))
        rows.append((str(sigma), *means, *(f"{value:+.2f}" for value in (fmean(gain), min(gain), max(gain)))))
    columns = ("sigma, of 255", prior.name, "BM3D", "difference", "least", "most")
    lines = [
        Table("", "", columns, rows).markdown(),
        "",
        f"PSNR in dB, {len(ours[SIGMAS[0]])} photographs; the network takes {seconds:.1f} s for one.",
    ]
    (args.out / "photo.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

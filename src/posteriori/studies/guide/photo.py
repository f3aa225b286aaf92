"""Colour denoising of photographs that the prior `photo` has not seen: one network call, beside BM3D, in a table.

    python -m posteriori.studies.guide.photo DATA/bsds500-train --holdout 19::20 --bm3d --out out/photo
    python -m posteriori.studies.guide.photo BSDS500/data/images/val --out out/val

BM3D (Dabov et al. 2007) is the package bm3d, free for non-commercial use, to be installed by hand. It takes half a
minute per photograph, so its PSNRs are kept in OUT/bm3d.csv.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from statistics import fmean

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.metrics import psnr
from posteriori.rng import Purpose, Rng
from posteriori.schedule import Schedule
from posteriori.studies.evaluation.denoising import Denoiser, bm3d, network_call
from posteriori.studies.table import Table
from posteriori.training.data import list_names, split_names

#: noise levels, of 255
SIGMAS = (15, 25, 50)


def score(denoise: Denoiser, paths: list[Path], schedule: Schedule, log: Path) -> dict[int, list[float]]:
    """PSNR (dB) of every photograph by noise level. Reuses those in ``log`` (sigma, name, PSNR), adds others."""
    known = {}
    if log.exists():
        with log.open(newline="") as file:
            known = {(int(sigma), name): float(value) for sigma, name, value in csv.reader(file)}
    result = {sigma: [] for sigma in SIGMAS}
    for sigma in SIGMAS:
        level = schedule.at_noise(sigma / 127.5)
        for i, path in enumerate(paths):
            if (sigma, path.name) not in known:
                x = load_image(path)
                y = x + level.sigma * Rng(0, [i], purpose=Purpose.MEASUREMENT).normal(x.shape[1:])
                known[sigma, path.name] = psnr(denoise(y, level), x).item()
                with log.open("a", newline="") as file:
                    csv.writer(file).writerow((sigma, path.name, f"{known[sigma, path.name]:.4f}"))
            result[sigma].append(known[sigma, path.name])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path, help="folder of pictures")
    parser.add_argument("--holdout", default=":", help="slice of their sorted names (default: all)")
    parser.add_argument("--prior", default="photo")
    parser.add_argument("--bm3d", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    paths = [args.photographs / name for name in split_names(list_names(args.photographs), args.holdout)[1]]
    prior = load_prior(args.prior)
    denoisers = {"prior": network_call(prior)} | ({"bm3d": bm3d()} if args.bm3d else {})
    (args.out / "prior.csv").unlink(missing_ok=True)  # perhaps another prior's
    scores = {name: score(own, paths, prior.schedule, args.out / f"{name}.csv") for name, own in denoisers.items()}
    rows = [(str(sigma), *(f"{fmean(own[sigma]):.2f}" for own in scores.values())) for sigma in SIGMAS]
    print(Table("", "", ("sigma, of 255", prior.name, *list(scores)[1:]), rows).markdown())
    print(f"\nPSNR in dB, mean of {len(paths)} photographs")


if __name__ == "__main__":
    main()

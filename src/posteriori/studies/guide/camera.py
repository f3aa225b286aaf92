"""A camera's noise removed with a prior: PSNR of a shot, of one network call and of `denoise`, in a table.

    python -m posteriori.studies.guide.camera FOLDER --prior photo

FOLDER has pairs of pictures, NAME_real.* (one shot) and NAME_mean.* (the mean of many), as CC15 (Nam et al. 2016) and
PolyU (Xu et al. 2018) have. Both denoisers are given the sigma that `denoise` finds in the shot.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

from torch import Tensor

from posteriori.diagnosis.noise import find_noise
from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian, GaussianNoise
from posteriori.metrics import psnr
from posteriori.operators import Identity
from posteriori.priors.base import Prior
from posteriori.restore.methods import Method, OnePass
from posteriori.restore.scales import TwoScales
from posteriori.studies.table import Table

METHODS: dict[str, Method] = {"one network call": OnePass(), "denoise": TwoScales()}


def denoised(prior: Prior, method: Method, y: Tensor, sigma: float) -> Tensor:
    """``y``, (1, 3, H, W), without noise of ``sigma``."""
    own, operator = prior.at((y.shape[-2], y.shape[-1])), Identity(y.shape[1:])
    settled = method.settled(own, operator, GaussianNoise(sigma))
    return settled(own, Gaussian(y, operator, sigma), y, seed=0, batch=1, tick=lambda _: None).x[:, 0]


def scores(prior: Prior, shot: Path) -> tuple[float, ...]:
    """PSNR (dB) of a shot, and of what each of ``METHODS`` makes of it."""
    y, mean = load_image(shot), load_image(shot.with_name(shot.name.replace("_real", "_mean")))
    found = find_noise(y)
    if not found.correlated:
        print(f"{shot.name}: `denoise` takes this noise for white, and would remove it by one network call")
    pictures = (y, *(denoised(prior, method, y, found.sigma) for method in METHODS.values()))
    return tuple(psnr(picture, mean).item() for picture in pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prior", default="photo")
    args = parser.parse_args()
    prior, shots = load_prior(args.prior), sorted(args.folder.glob("*_real.*"))
    found = [scores(prior, shot) for shot in shots]
    columns = ("", f"every second of {len(shots)}", "the others", "all")
    rows = [
        (name, *(f"{fmean(own[part]):.2f}" for part in (slice(0, None, 2), slice(1, None, 2), slice(None))))
        for name, own in zip(("the shot", *METHODS), zip(*found, strict=True), strict=True)
    ]
    print(Table("", "", columns, rows).markdown())


if __name__ == "__main__":
    main()

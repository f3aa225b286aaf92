"""The straight line between a prior's weights and those of a training run that started from it, measured on two sets.

    python training/blend.py faces-64 out/wide/prior --data DATA --photos FOLDER --out out/blend --keep 0.5

Fine-tuned weights know the new pictures and forget some of the old; between the two a network keeps most of both
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). For weights of 0 to 1 it prints the PSNR of one
network call on the first 32 held-out faces and on the pictures in FOLDER, and writes a sheet of samples; the
blend of weight ``--keep`` is left in OUT/prior as a folder that ``load_prior`` takes, with the run's model card.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from posteriori.hub.contents import CARD, read_folder
from posteriori.hub.folder import save_folder
from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.images.sheets import sheet
from posteriori.likelihoods import Flat
from posteriori.loop import sample
from posteriori.samplers import DDIM
from posteriori.studies.guide.heldout import CHOOSING, held_out_faces
from posteriori.training.evaluate import denoising_psnr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs of faces")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("--weights", type=float, nargs="*", default=[0.0, 0.3, 0.5, 0.7, 1.0])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    prior, after = load_prior(args.before, dtype="float32"), load_prior(args.after, dtype="float32").net.state_dict()
    before = {name: value.clone() for name, value in prior.net.state_dict().items()}

    def blend(weight: float) -> None:
        prior.net.load_state_dict({name: value.lerp(after[name], weight) for name, value in before.items()})

    size = prior.shape[-1]
    photos = torch.cat([load_image(path, size=size) for path in sorted(args.photos.iterdir())])
    for weight in args.weights:
        blend(weight)
        for name, pictures in (("faces", held_out_faces(args.data, CHOOSING, size)), ("photos", photos)):
            psnr = denoising_psnr(prior, pictures)
            print(f"{weight:g} {name}", *(f"{sigma:g}: {value:.2f}" for sigma, value in psnr.items()), flush=True)
        samples = sample(prior, Flat(16, prior.shape), DDIM(steps=50), progress=False)[:, 0]
        sheet(samples, args.out / f"samples-{weight:g}.png", columns=8)
    blend(args.keep)
    folder = read_folder(args.after)
    save_folder(
        args.out / "prior",
        prior.net,
        prior.schedule,
        prediction=prior.prediction,
        size=size,
        name=folder.name,
        licence=folder.licence,
        card=(args.after / CARD).read_text("utf-8"),
        overwrite=True,
    )


if __name__ == "__main__":
    main()

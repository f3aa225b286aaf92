"""How often the two checks of a restoration are right: on 64 good and 64 bad ones, of pictures not used for tuning.

    python -m posteriori.studies.guide.checks --data DATA --prior faces-64

Good ones are by ``auto`` with the true operator and noise. Bad ones, 16 of each kind: DiffPIR with its paper's values,
which leave noise; DDRM with a fifth of the noise; ``auto`` with a blur of sigma 2.5 instead of 1.5; ``auto`` with four
times the noise. Faces are the 64 held-out ones for reporting. Photographs are the two halves of held-out ones, their
128-pixel centres: 21 ImageNet samples in photos.zip, and 11 of BSDS500 that chose no settings.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from posteriori.hub.load import load_prior
from posteriori.images.fit import centre
from posteriori.images.pixels import from_bytes
from posteriori.likelihoods import Gaussian, GaussianNoise
from posteriori.loop import sample
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.restore.checks import check_prior, check_residual, warnings
from posteriori.sampler import Sampler
from posteriori.samplers import DDRM, DiffPIR
from posteriori.settings.choosing import choose
from posteriori.settings.text import parse_operator, parse_sampler
from posteriori.studies.guide.heldout import REPORTED, held_out_faces, split_folder
from posteriori.training.data import list_names, load_whole, split_names

OPERATORS = ("gaussian-blur(sigma=1.5)", "downsample(factor=2)", "box-mask")
NOISES = (0.01, 0.05, 0.2)


def pictures(prior: str, data: Path) -> Tensor:
    if prior != "photo":
        return held_out_faces(data, REPORTED, 64)
    samples, folder = data / "photos.zip", data / "bsds500-train"
    imagenet = split_folder(samples, "imagenet/", "39::40")[1]
    bsds = split_names(list_names(folder), "19::20")[1][-11:]
    whole = [*load_whole(samples, imagenet, 128).pixels, *load_whole(folder, bsds, 128).pixels]
    halves = [
        half for picture in whole for half in picture.chunk(2, dim=-1 if picture.shape[-1] > picture.shape[-2] else -2)
    ]
    return torch.cat([from_bytes(centre(half[None], 128)) for half in halves])


def auto(prior: Prior, operator: Operator, sigma: float) -> Sampler:
    chosen = choose("auto", prior.name, operator.name, sigma)
    return parse_sampler(chosen.sampler).with_steps(chosen.steps)


def restorations(prior: Prior, truth: Tensor) -> Iterator[tuple[str, Operator, Tensor, Tensor, float]]:
    """(kind, assumed operator, y, x, assumed noise) of each restoration."""
    for i, row in enumerate(truth):
        own = row[None]
        operator = parse_operator(OPERATORS[i % 3], prior.shape)
        sigma = NOISES[i // 3 % 3]
        y = Gaussian.simulate(own, operator, sigma).y
        yield "good", operator, y, _restored(prior, operator, y, sigma, auto(prior, operator, sigma)), sigma
        kind = ("its paper's DiffPIR", "a fifth of the noise", "another blur", "four times the noise")[i // 16]
        given = {"its paper's DiffPIR": DiffPIR(steps=30), "a fifth of the noise": DDRM(steps=30)}.get(kind)
        told, known = operator, sigma * {"a fifth of the noise": 0.2, "four times the noise": 4}.get(kind, 1)
        if kind == "another blur":
            y = Gaussian.simulate(own, parse_operator("gaussian-blur(sigma=1.5)", prior.shape), sigma).y
            told = parse_operator("gaussian-blur(sigma=2.5)", prior.shape)
        yield kind, told, y, _restored(prior, told, y, known, given or auto(prior, told, known)), known


def _restored(prior: Prior, operator: Operator, y: Tensor, sigma: float, sampler: Sampler) -> Tensor:
    return sample(prior, Gaussian(y, operator, sigma), sampler, progress=False)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--prior", default="faces-64", choices=["faces-64", "photo"])
    asked = parser.parse_args()
    truth = pictures(asked.prior, asked.data)
    prior = load_prior(asked.prior).at(truth.shape[-1])
    flagged: dict[str, list[bool]] = {}
    for kind, operator, y, x, sigma in restorations(prior, truth):
        residual, shift = check_residual(operator, y, x, GaussianNoise(sigma)), check_prior(prior, x)
        said = warnings(residual, shift, sigma, simulated=False)
        flagged.setdefault(kind, []).append(bool(said))
        checked = f"{residual['samples'][0]:.2f} {shift['samples'][0]:.2f}"
        print(kind, operator.name, f"{sigma:g}", checked, [line.split(":")[0] for line in said], flush=True)
    for kind, found in flagged.items():
        print(f"{kind}: {sum(found)} of {len(found)} flagged")


if __name__ == "__main__":
    main()

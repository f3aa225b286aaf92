"""The held-out pictures, and the scores of a sampler's restorations of them."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posteriori.images.files import load_image
from posteriori.images.fit import centre
from posteriori.images.pixels import from_bytes
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.metrics import lpips, psnr
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.sampler import Sampler
from posteriori.studies.engine.work import hole_psnr
from posteriori.studies.tasks import SIGMA_Y
from posteriori.training.data import list_names, load_images, split_names

#: of the 96 held-out faces the first 32 are for choosing settings, the last 64 for reporting
CHOOSING, REPORTED = slice(0, 32), slice(32, 96)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options of every script on the held-out pictures."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip and bsds500-train")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--steps", type=int, default=250)
    return parser


def split_folder(archive: Path, folder: str, holdout: str) -> tuple[list[str], list[str]]:
    """(training, held-out) names of the pictures in one ``folder`` of an archive, like "celeba/"; in all if empty."""
    return split_names([name for name in list_names(archive) if name.startswith(folder)], holdout)


def held_out_faces(data: Path, rows: slice, size: int) -> Tensor:
    """The held-out faces ``rows`` at ``size`` pixels, (N, 3, size, size) on [-1, 1]."""
    source = data / "faces-128.zip"
    names = split_names(list_names(source), "52::53")[1][rows]
    pixels = load_images(source, names, size).pixels
    assert isinstance(pixels, Tensor)  # of one size
    return from_bytes(pixels)


def held_out_photographs(data: Path, rows: slice, size: int) -> Tensor:
    """Centre crops of the photographs that no training saw, ``rows`` of them, (N, 3, size, size) on [-1, 1]."""
    folder = data / "bsds500-train"
    names = split_names(list_names(folder), "19::20")[1][rows]
    return torch.cat([centre(load_image(folder / name), size) for name in names])


def held_out(prior: str, data: Path, rows: slice, size: int) -> Tensor:
    """The pictures that a prior of this name was not trained on: faces, or photographs."""
    return (held_out_faces if prior.startswith("faces") else held_out_photographs)(data, rows, size)


@dataclass
class Scores:
    """Per-image metrics, (N,) each; ``hole`` is the PSNR of hidden pixels, ``residual`` |y - A x| / (sigma sqrt m)."""

    psnr: np.ndarray
    lpips: np.ndarray
    residual: np.ndarray
    hole: np.ndarray
    seconds: float = 0.0


def score(
    operator: Operator, y: Tensor, x: Tensor, truth: Tensor, seconds: float = 0.0, sigma: float = SIGMA_Y
) -> Scores:
    residual = Gaussian(y, operator, sigma).residual(x).square().mean(1).sqrt()
    return Scores(
        psnr(x, truth).numpy(), lpips(x, truth).numpy(), residual.numpy(), hole_psnr(x, truth, operator), seconds
    )


def run(
    prior: Prior, operator: Operator, sampler: Sampler, truth: Tensor, *, batch: int = 16, sigma: float = SIGMA_Y
) -> tuple[Scores, Tensor]:
    """Measures ``truth`` with noise ``sigma`` (seed 0), restores it and scores it."""
    y = Gaussian.simulate(truth, operator, sigma).y
    started = time.perf_counter()
    x = sample(prior, Gaussian(y, operator, sigma), sampler, batch=batch)[:, 0]
    return score(operator, y, x, truth, time.perf_counter() - started, sigma), x

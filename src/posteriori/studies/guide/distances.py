"""Kernel distances of a face prior's samples to real and to synthetic faces, apart, in a Markdown table.

    posteriori priors evaluate faces-64 --images DATA/faces-128.zip --holdout 52::53 --samples 500 --out out/evaluate
    python -m posteriori.studies.guide.distances out/evaluate/samples --data DATA

A prior trained on two kinds of faces is far from each of them, even if its samples are right. So the table also has the
distance between the two kinds, and that to a mixture of both. Real faces are every 40th of CelebA's, synthetic ones
every 53rd of faces-128.zip. The mixture has ``SYNTHETIC`` synthetic faces beside CelebA's 350: the shares of a training
epoch (training/real_faces.py). The floor is the distance to as many CelebA faces that were trained on.
"""

from __future__ import annotations

import argparse
from itertools import starmap
from pathlib import Path

import torch
from torch import Tensor

from posteriori.images.files import load_image
from posteriori.images.pixels import from_bytes
from posteriori.metrics import kernel_distance, kernel_distance_interval, pooled_features
from posteriori.studies.guide.heldout import held_out_faces, split_folder
from posteriori.studies.table import Table
from posteriori.training.data import load_images

SYNTHETIC = 90


def features(archive: Path, names: list[str], size: int) -> Tensor:
    return pooled_features(from_bytes(torch.as_tensor(load_images(archive, names, size).pixels)))


def row(name: str, x: Tensor, y: Tensor) -> tuple[str, ...]:
    low, high = kernel_distance_interval(x, y, seed=0)
    return name, f"{len(x)}, {len(y)}", f"{kernel_distance(x, y):.2f}", f"{low:.2f} to {high:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, help="folder of a prior's samples, sample-*.png")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-real-128.zip, faces-128.zip")
    args = parser.parse_args()
    pictures = torch.cat([load_image(path) for path in sorted(args.samples.glob("sample-*.png"))])
    drawn, size = pooled_features(pictures), pictures.shape[-1]
    archive = args.data / "faces-real-128.zip"
    seen, held_out = split_folder(archive, "celeba/", "39::40")
    real, trained = features(archive, held_out, size), features(archive, seen[: len(drawn)], size)
    synthetic = pooled_features(held_out_faces(args.data, slice(None), size))
    pairs = [
        ("samples, real faces", drawn, real),
        ("samples, synthetic faces", drawn, synthetic),
        ("samples, the mixture", drawn, torch.cat([real, synthetic[:SYNTHETIC]])),
        ("real faces, synthetic faces", real, synthetic),
        ("real training faces, real faces (floor)", trained, real),
    ]
    print(Table("", "", ("between", "pictures", "distance", "95% interval"), list(starmap(row, pairs))).markdown())


if __name__ == "__main__":
    main()

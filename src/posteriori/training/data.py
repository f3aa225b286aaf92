"""Training images from a folder or a zip: decoded once, held-out names set apart, batches by (seed, step)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posteriori.images import SUFFIXES
from posteriori.rng import generator


@dataclass(frozen=True)
class Images:
    """Names and pixels of a data set: ``pixels`` is (N, 3, S, S) uint8."""

    names: list[str]
    pixels: Tensor

    def __len__(self) -> int:
        return len(self.names)


def list_names(source: Path) -> list[str]:
    """The sorted names of the images in a folder (searched whole) or a zip."""
    if source.is_dir():
        names = [p.relative_to(source).as_posix() for p in source.rglob("*")]
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
    else:
        raise ValueError(f"{source} is neither a folder nor a zip of images: give one of those")
    names = sorted(n for n in names if Path(n).suffix.lower() in SUFFIXES)
    if not names:
        raise ValueError(f"{source} holds no image ({', '.join(SUFFIXES)})")
    return names


def split_names(names: list[str], holdout: str) -> tuple[list[str], list[str]]:
    """(training, held-out) names; ``holdout`` is a slice of the sorted names, ``"52::53"``: every 53rd."""
    start, stop, step = (int(part) if part else None for part in [*holdout.split(":"), "", ""][:3])
    held_out = sorted(names)[slice(start, stop, step)] if holdout else []
    return sorted(set(names) - set(held_out)), held_out


def load_images(source: Path, names: list[str], size: int) -> Images:
    """Decodes ``names``, centre-cropped to a square and resized to ``size`` pixels (small ones are enlarged)."""
    pixels = torch.empty(len(names), 3, size, size, dtype=torch.uint8)
    for i, (name, data) in enumerate(_read(source, names)):
        try:
            picture = Image.open(io.BytesIO(data)).convert("RGB")
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{source}/{name} cannot be read as an image ({error}): remove or replace it") from None
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        picture = picture.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
        pixels[i] = _to_tensor(picture)
    return Images(names, pixels)


def _to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _read(source: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        yield from ((name, (source / name).read_bytes()) for name in names)
    else:
        with zipfile.ZipFile(source) as archive:
            yield from ((name, archive.read(name)) for name in names)


def batch(images: Images, step: int, *, size: int, batch_size: int, min_crop: float, colour: float, seed: int):
    """The batch of training step ``step``: (B, 3, size, size) float32 on [-1, 1], a function of the arguments alone.

    Each epoch is one permutation. Every image is flipped with probability 1/2, cropped to a random
    square of ``min_crop`` to 1 of its side, and its brightness and per-channel contrast are moved by up to
    ``colour`` (0 for none).
    """
    n = len(images)
    first = step * batch_size
    order = torch.cat(
        [
            torch.randperm(n, generator=generator(seed, 0, e))
            for e in range(first // n, (first + batch_size - 1) // n + 1)
        ]
    )
    chosen = order[first % n :][:batch_size]
    rng = generator(seed, 1, step)
    draws = torch.rand(batch_size, 8, generator=rng)
    return torch.cat(
        [
            _augment(images.pixels[i], draw, size, min_crop, colour)
            for i, draw in zip(chosen.tolist(), draws, strict=True)
        ]
    )


def _augment(pixels: Tensor, draw: Tensor, size: int, min_crop: float, colour: float) -> Tensor:
    flip, scale, top, left, brightness, *contrast = draw.tolist()
    side = pixels.shape[-1]
    crop = round(side * (min_crop + (1 - min_crop) * scale))
    y, x = round((side - crop) * top), round((side - crop) * left)
    image = pixels[:, y : y + crop, x : x + crop]
    if crop != size:
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        image = _to_tensor(picture.resize((size, size), Image.Resampling.LANCZOS))
    if flip < 0.5:
        image = image.flip(-1)
    image = image[None].float() / 127.5 - 1
    if colour:
        gain = 1 + colour * (2 * torch.tensor(contrast).view(1, 3, 1, 1) - 1)
        image = image * gain + colour * (2 * brightness - 1)
    return image.clamp(-1, 1)

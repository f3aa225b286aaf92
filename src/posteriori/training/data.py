"""Training images from a folder or a zip: decoded once, held-out names set apart, batches by (seed, step)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posteriori.images import SUFFIXES, read_picture
from posteriori.rng import generator
from posteriori.training.config import Crop


@dataclass(frozen=True)
class Images:
    """Names and pixels of a data set, uint8: (N, 3, S, S), or one (3, H, W) each where sizes differ."""

    names: list[str]
    pixels: Tensor | list[Tensor]

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
    """(training, held-out) names; ``holdout`` is a slice of the sorted names, ``"52::53"``: every 53rd.

    Raises ValueError where it is none.
    """
    try:
        start, stop, step = (int(part) if part else None for part in [*holdout.split(":"), "", ""][:3])
        held_out = sorted(names)[slice(start, stop, step)] if holdout else []
    except ValueError:
        raise ValueError(f"holdout is {holdout!r}: give a slice of the sorted names, like 52::53") from None
    return sorted(set(names) - set(held_out)), held_out


def load_images(source: Path, names: list[str], size: int) -> Images:
    """Decodes ``names``, centre-cropped to a square and resized to ``size`` pixels (small ones are enlarged)."""
    pixels = torch.empty(len(names), 3, size, size, dtype=torch.uint8)
    for i, array in enumerate(_pictures(source, names)):
        picture = Image.fromarray(array)
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        pixels[i] = _channels_first(
            np.array(picture.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))
        )
    return Images(names, pixels)


def load_whole(source: Path, names: list[str], size: int, stride: int = 1) -> Images:
    """Decodes ``names`` at their own resolution, sides cut to multiples of ``stride``.

    Raises ValueError where one is smaller than ``size`` pixels.
    """
    pixels = [_channels_first(picture) for picture in _pictures(source, names)]
    for name, image in zip(names, pixels, strict=True):
        if min(image.shape[1:]) < size:
            height, width = image.shape[1:]
            raise ValueError(
                f"{source}/{name} is {width} x {height}, smaller than size = {size}: lower size, or remove it"
            )
    return Images(names, [p[:, : p.shape[1] // stride * stride, : p.shape[2] // stride * stride] for p in pixels])


def picture_sizes(source: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """(width, height) of each of ``names``, as it is decoded."""
    return [(picture.shape[1], picture.shape[0]) for picture in _pictures(source, list(names))]


def _channels_first(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)


def _pictures(source: Path, names: list[str]) -> Iterator[np.ndarray]:
    return (read_picture(data, f"{source}/{name}").pixels for name, data in _read(source, names))


def _read(source: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        yield from ((name, (source / name).read_bytes()) for name in names)
    else:
        with zipfile.ZipFile(source) as archive:
            yield from ((name, archive.read(name)) for name in names)


def batch(
    images: Images,
    step: int,
    *,
    size: int,
    batch_size: int,
    crop: Crop,
    min_crop: float,
    colour: float,
    seed: int,
    rows: slice = slice(None),
) -> Tensor:
    """The batch of training step ``step``: (B, 3, size, size) float32 on [-1, 1], a function of the arguments alone.

    Each epoch is one permutation. Of every image a window is taken: ``crop`` "centre", a random square of
    ``min_crop`` to 1 of its side brought to ``size``; "random", any ``size`` x ``size`` pixels as they are. It is
    flipped with probability 1/2, and its brightness and per-channel contrast are moved by up to ``colour``
    (0 for none). Of the ``batch_size`` rows only ``rows`` are computed.
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
            _augment(images.pixels[i], draw, size, crop, min_crop, colour)
            for i, draw in zip(chosen[rows].tolist(), draws[rows], strict=True)
        ]
    )


def _augment(pixels: Tensor, draw: Tensor, size: int, crop: Crop, min_crop: float, colour: float) -> Tensor:
    flip, scale, top, left, brightness, *contrast = draw.tolist()
    height, width = pixels.shape[-2:]
    side = size if crop == "random" else round(height * (min_crop + (1 - min_crop) * scale))
    y, x = round((height - side) * top), round((width - side) * left)
    image = pixels[:, y : y + side, x : x + side]
    if side != size:
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        image = _channels_first(np.array(picture.resize((size, size), Image.Resampling.LANCZOS)))
    if flip < 0.5:
        image = image.flip(-1)
    image = image[None].float() / 127.5 - 1
    if colour:
        gain = 1 + colour * (2 * torch.tensor(contrast).view(1, 3, 1, 1) - 1)
        image = image * gain + colour * (2 * brightness - 1)
    return image.clamp(-1, 1)

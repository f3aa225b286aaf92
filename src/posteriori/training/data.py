"""Training images from a folder or a zip: decoded once, split into training and held-out, batched by (seed, step)."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.images.files import check_size
from posteriori.images.picture import SUFFIXES, read_picture
from posteriori.images.pixels import from_bytes
from posteriori.rng import generator
from posteriori.training.config import Crop

#: the share of a data set that may be damaged, and is left out; a single picture always may
DAMAGED = 0.05


@dataclass(frozen=True)
class Dataset:
    """Names and pixels of a data set, uint8: (N, 3, S, S), or one (3, H, W) each where sizes differ.

    ``damaged`` says for each picture left out what is wrong with it.
    """

    names: list[str]
    pixels: Tensor | list[Tensor]
    damaged: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)


def list_names(source: Path) -> list[str]:
    """The sorted names of the images in a folder (searched whole) or a zip, without hidden files and folders.

    Hidden are also ``._a.jpg`` and ``__MACOSX/``, which a Mac writes beside the pictures.
    """
    if source.is_dir():
        names = []
        for root, folders, files in os.walk(source, onerror=_refuse):
            folders[:] = [name for name in folders if not _hidden(name)]
            names += [Path(root, name).relative_to(source).as_posix() for name in files]
    elif zipfile.is_zipfile(source):
        try:
            with zipfile.ZipFile(source) as archive:
                names = archive.namelist()
        except Exception as error:  # a damaged directory raises nearly anything
            raise PosterioriError(f"{source} is damaged ({first_line(error)}): get it again") from None
    else:
        raise PosterioriError(f"{source} is neither a folder nor a zip of images: give one of those")
    names = sorted(n for n in names if Path(n).suffix.lower() in SUFFIXES and not _hidden(n))
    if not names:
        raise PosterioriError(f"{source} holds no picture: give one with .png, .jpg, .tif or other pictures")
    return names


def _refuse(error: OSError) -> None:
    """Of a folder that cannot be read, whose pictures a run would lack."""
    raise PosterioriError(f"{error.filename} cannot be read ({error.strerror}): make it readable, or remove it")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def split_names(names: list[str], holdout: str) -> tuple[list[str], list[str]]:
    """(training, held-out) names; ``holdout`` is a slice of the sorted names, such as ``"52::53"``, every 53rd.

    Raises PosterioriError if it is not a slice.
    """
    try:
        start, stop, step = (int(part) if part else None for part in [*holdout.split(":"), "", ""][:3])
        held_out = sorted(names)[slice(start, stop, step)] if holdout else []
    except ValueError:
        raise PosterioriError(f"holdout is {holdout!r}: give a slice of the sorted names, like 52::53") from None
    return sorted(set(names) - set(held_out)), held_out


def load_images(source: Path, names: list[str], size: int, *, tolerant: bool = False) -> Dataset:
    """Decodes ``names``, centre-cropped to a square and resized to ``size`` pixels (small ones are enlarged).

    Raises PosterioriError if one is damaged. A ``tolerant`` call leaves damaged ones out. It raises if they are more
    than one and more than ``DAMAGED`` of all, or if none is left.
    """
    pixels, damaged = torch.empty(len(names), 3, size, size, dtype=torch.uint8), [] if tolerant else None
    sound = []
    for i, (name, array) in enumerate(_pictures(source, names, damaged)):
        picture = Image.fromarray(array)
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        pixels[i] = _channels_first(
            np.array(picture.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0))
        )
        sound.append(name)
    return Dataset(sound, pixels[: len(sound)], damaged or [])


def load_whole(source: Path, names: list[str], size: int, stride: int = 1, *, tolerant: bool = False) -> Dataset:
    """Decodes ``names`` at their own resolution, sides cut to multiples of ``stride``.

    Raises PosterioriError if one is smaller than ``size`` pixels, or damaged: see ``load_images``.
    """
    damaged = [] if tolerant else None
    sound, pixels = [], []
    for name, picture in _pictures(source, names, damaged):
        height, width = picture.shape[:2]
        if min(height, width) < size:
            raise PosterioriError(
                f"{source}/{name} is {width} x {height}, smaller than size = {size}: lower size, or remove it"
            )
        sound.append(name)
        pixels.append(_channels_first(picture)[:, : height // stride * stride, : width // stride * stride])
    return Dataset(sound, pixels, damaged or [])


def picture_sizes(source: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """(width, height) of each of ``names``, as it is decoded."""
    return [(picture.shape[1], picture.shape[0]) for _, picture in _pictures(source, list(names))]


def _channels_first(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)


def _pictures(source: Path, names: list[str], damaged: list[str] | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """(name, pixels) of each. A damaged picture raises, or is noted in ``damaged`` as long as there are few."""
    with _reader(source) as read:
        for name in names:
            try:
                yield name, _decoded(read, source, name)
            except ValueError as error:
                if damaged is None:
                    raise
                damaged.append(str(error))
    if damaged and (len(damaged) > max(1, DAMAGED * len(names)) or len(damaged) == len(names)):
        raise PosterioriError(
            f"{len(damaged)} of {len(names)} pictures in {source} are damaged, and at most {DAMAGED:.0%} may be: "
            f"replace or remove them; the first: {damaged[0]}"
        )


def _decoded(read: Callable[[str], bytes], source: Path, name: str) -> np.ndarray:
    try:
        data = read(name)
    except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:  # all that a zip raises
        why = getattr(error, "strerror", None) or error
        raise PosterioriError(f"{source}/{name} cannot be read ({why})") from None
    return read_picture(data, f"{source}/{name}").eight_bits


@contextmanager
def _reader(source: Path) -> Generator[Callable[[str], bytes]]:
    if source.is_dir():

        def read(name: str) -> bytes:
            path = source / name
            check_size(path.stat().st_size, path)
            if not path.is_file():  # a pipe would keep its reader waiting
                raise OSError("it is not a file")
            return path.read_bytes()

        yield read
    else:
        with zipfile.ZipFile(source) as archive:

            def read(name: str) -> bytes:
                check_size(archive.getinfo(name).file_size, source / name)
                return archive.read(name)

            yield read


def batch(
    images: Dataset,
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

    Each epoch is one permutation. A window is cut from every image: with ``crop`` "centre" a random square of
    ``min_crop`` to 1 of its side, resized to ``size``; with "random" any ``size`` x ``size`` pixels, not resized. It is
    flipped with probability 1/2, and its brightness and per-channel contrast are moved by up to ``colour`` (0 for
    none). Only ``rows`` of the ``batch_size`` rows are computed.
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
    image = from_bytes(image[None])
    if colour:
        gain = 1 + colour * (2 * torch.tensor(contrast).view(1, 3, 1, 1) - 1)
        image = image * gain + colour * (2 * brightness - 1)
    return image.clamp(-1, 1)

"""What a command is given: files and folders, pictures and measurements, and a mask."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posteriori.arrays import SUFFIXES as ARRAYS
from posteriori.arrays import read_array
from posteriori.errors import PosterioriError
from posteriori.images.files import STANDARD_INPUT, read_bytes, to_tensor
from posteriori.images.fit import Fit, Region, cut, fit
from posteriori.images.picture import BUNDLED, SUFFIXES, Origin, Picture, read_picture, unwarned
from posteriori.images.span import read_span
from posteriori.restore.manifest import MANIFEST, SUMMARY
from posteriori.restore.scale import rescaled

#: how the name of a picture ends that shows how far an interrupted command came
UNFINISHED = ".unfinished.png"
#: the longest name of a file that usual file systems take
NAME_BYTES = 255


@dataclass(frozen=True)
class Source:
    """One input: ``path`` as it was given or found, and the ``name`` of what is written for it."""

    path: str
    name: str

    @property
    def array(self) -> bool:
        """Whether it is a file of numbers, which need be no picture."""
        return self.path.lower().endswith(ARRAYS)


@dataclass(frozen=True)
class Loaded:
    """An input as numbers: ``x`` (1, C, H, W) on [-1, 1], ``window`` (top, left, height, width) of what was
    in the file, ``size`` (height, width) of the file's picture, ``about`` for the manifest, and ``origin``, as which
    the result is written.
    """

    x: Tensor
    window: tuple[int, int, int, int]
    size: tuple[int, int]
    about: dict[str, Any]
    origin: Origin = field(default_factory=lambda: Origin("PNG"))
    #: pixels of the file that became one, along a side
    factor: float = 1.0
    #: (height, width) of the file's picture, of which a region may have been taken
    whole: tuple[int, ...] = ()

    @property
    def grey(self) -> bool:
        """Whether it has one value for all three channels of every pixel."""
        return self.x.ndim == 4 and self.x.shape[1] == 3 and bool((self.x == self.x[:, :1]).all())


def find_sources(paths: Sequence[str]) -> list[Source]:
    """The inputs behind ``paths``: bundled names, files, "-", and what lies in folders and theirs, not hidden.

    Earlier results in a folder are no inputs. A file given twice is one input. Names are the files' stems, after the
    folders in which they lay below the one that was given, made fit to name a folder beside results.json: printable,
    never hidden, and numbered where two would be the same, capitals not counting. FileNotFoundError where a path is
    missing, PosterioriError where a folder holds nothing to read.
    """
    found: list[tuple[str, str]] = []  # the path, and the folders below the one that was given
    for given in paths:
        path = Path(given)
        if given in BUNDLED or given == STANDARD_INPUT:
            found.append((given, ""))
        elif path.is_dir():
            next(path.iterdir(), None)  # raises where it cannot be read
            inside = [(str(file), below) for file, below in _walk(path) if is_read(file)]
            if not inside:
                raise PosterioriError(
                    f"{given} holds no picture: give a folder with .png, .jpg, .tif or other pictures, or with .npy"
                )
            found += inside
        elif path.exists():
            found.append((given, ""))
        else:
            raise FileNotFoundError(
                f"{given} does not exist: give a picture, a folder of pictures, a measurement ({ARRAYS[0]}), "
                f"- for standard input, or one of {', '.join(BUNDLED)}"
            )
    once: dict[str | Path, tuple[str, str]] = {}
    for path, below in found:
        once.setdefault(path if path in BUNDLED or path == STANDARD_INPUT else Path(path).resolve(), (path, below))
    folders = {part.casefold() for _, below in once.values() for part in _prefixes(_clean(below))}
    sources, taken = [], {SUMMARY, *folders}
    for path, below in once.values():
        stem = "stdin" if path == STANDARD_INPUT else _named(stem_of(path)) or "input"
        stem = "/".join(filter(None, (_clean(below), stem)))
        number = 1
        while (name := stem if number == 1 else f"{stem}-{number}").casefold() in taken:
            number += 1
        taken.add(name.casefold())
        sources.append(Source(path, name))
    return sources


def passed_over(paths: Sequence[str]) -> list[str]:
    """What is in the folders among ``paths``, not hidden, and is not read: other files, and folders that cannot be."""
    folders = [Path(path) for path in paths if path not in BUNDLED and Path(path).is_dir()]
    closed = list[str]()
    walks = [_walk(folder, lambda error: closed.append(error.filename)) for folder in folders]
    return [str(file) for walk in walks for file, _ in walk if not is_read(file)] + closed


def is_read(path: Path) -> bool:
    """Whether a file of this name is, where it lies in a folder."""
    return path.name.lower().endswith((*SUFFIXES, *ARRAYS))


def stem_of(path: str) -> str:
    """The name of a file without its ending, which may have two dots."""
    stem = Path(path).stem
    return Path(stem).stem if path.lower().endswith(".nii.gz") else stem


def _walk(folder: Path, closed: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, str]]:
    """The files in ``folder`` and below, sorted, none hidden, without earlier results; and the folders between.

    ``closed`` is told of folders that cannot be read.
    """
    for root, folders, files in os.walk(folder, onerror=closed):
        if MANIFEST in files or SUMMARY in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(root).relative_to(folder).as_posix()
        for name in sorted(files):
            if not name.startswith(".") and not name.endswith(UNFINISHED) and (Path(root) / name).is_file():
                yield Path(root) / name, "" if below == "." else below


def _named(name: str) -> str:
    return "".join(c if c.isprintable() else "_" for c in name).strip(". ")


def _clean(below: str) -> str:
    return "/".join(_named(name) or "folder" for name in below.split("/")) if below else ""


def _prefixes(below: str) -> Iterator[str]:
    parts = below.split("/") if below else []
    return ("/".join(parts[: i + 1]) for i in range(len(parts)))


def unfinished(out: Path, source: Source) -> Path:
    """Where what there was of an input is, when a command was interrupted."""
    path = out / source.name
    stem = os.fsdecode(os.fsencode(path.name)[: NAME_BYTES - len(UNFINISHED)])
    return path.with_name(stem + UNFINISHED)


def size_of(source: Source) -> tuple[int, int] | None:
    """(height, width) of what ``source`` holds, by its head alone; None where that does not say it."""
    path = source.path
    try:
        if source.array and Path(path).is_file():
            height, width = np.load(path, mmap_mode="r").shape[-2:]
            return height, width
        file = path if Path(path).is_file() else io.BytesIO(read_bytes(path))
        with unwarned(), Image.open(file) as picture:
            return picture.height, picture.width
    except Exception:  # which reading it says in a line
        return None


def load(
    source: Source,
    shape: tuple[int, ...] | None,
    how: Fit | None,
    *,
    arrays: bool,
    scale: str | None = None,
    region: Region | None = None,
) -> Loaded:
    """The picture or, with ``arrays``, the measurement behind ``source``, at ``shape`` (C, H, W), None for its own.

    Of pictures the ``region`` is taken, and fitted (``images.fit``). Arrays must have the shape, less a first 1, and be
    finite. ``scale`` is the range "BLACK..WHITE" of arrays, whole numbers among them, and of pictures that do not say
    it; where it is not given arrays are floating-point numbers on [-1, 1].
    Raises OSError or PosterioriError, one line.
    """
    data = read_bytes(source.path)
    about: dict[str, Any] = {"file": source.path, "sha256": hashlib.sha256(data).hexdigest()}
    if source.array or (source.path == STANDARD_INPUT and data.startswith(b"\x93NUMPY")):
        if not arrays:
            raise PosterioriError(
                f"{source.path} is a measurement, and --simulate degrades pictures: leave --simulate out"
            )
        x = rescaled(_array(data, source.path, shape, "f" if scale is None else "fiu"), scale)
        origin = Origin("NPY", 32, read_span(scale or "-1..1"))
        size = x.shape[-2], x.shape[-1]
        return Loaded(x, (0, 0, *size), size, about | {"kind": "array"}, origin)
    picture = read_picture(data, source.path, scale)
    whole = picture.pixels.shape[:2]
    if region:
        picture = _part(picture, region, source.path)
        about["region"] = list(region)
    height, width = picture.pixels.shape[:2]
    shape = shape or (3, height, width)
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise PosterioriError(
            f"{source.path} is a picture, and this operator measures {shape}: give an array ({ARRAYS[0]})"
        )
    fitted = fit(picture.pixels, *shape[1:], how, source.path)
    about |= {"kind": "picture", "width": width, "height": height, "notes": list(picture.notes)}
    if fitted.note:
        about["fit"] = fitted.note
    origin = _fitted(picture, shape, how, fitted.window)
    return Loaded(to_tensor(fitted.pixels), fitted.window, (height, width), about, origin, fitted.factor, whole)


def _part(picture: Picture, region: Region, path: str) -> Picture:
    alpha = picture.origin.alpha
    origin = picture.origin if alpha is None else replace(picture.origin, alpha=cut(alpha, region, path))
    return replace(picture, pixels=cut(picture.pixels, region, path), origin=origin)


def _fitted(picture: Picture, shape: tuple[int, ...], how: Fit | None, window: tuple[int, int, int, int]) -> Origin:
    """The origin of a fitted picture, whose alpha is that of the window."""
    alpha = picture.origin.alpha
    if alpha is None:
        return picture.origin
    top, left, height, width = window
    alpha = fit(alpha, *shape[1:], how, "alpha").pixels[top : top + height, left : left + width]
    return replace(picture.origin, alpha=alpha.clip(0, 1))


def _array(data: bytes, path: str, shape: tuple[int, ...] | None, kinds: str) -> Tensor:
    array = read_array(data, path, kinds)
    if shape is None:
        shape = array.shape[1:] if array.ndim > 3 and len(array) == 1 else array.shape
        if len(shape) < 2 or not array.size:
            raise PosterioriError(f"{path} has shape {array.shape}: give a measurement, like (3, height, width)")
    if array.shape not in (shape, (1, *shape)):
        raise PosterioriError(f"{path} has shape {array.shape}: this measurement has {shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        array = array.astype(np.float32, order="C")
    if not np.isfinite(array).all():
        raise PosterioriError(f"{path} holds NaN, infinity or numbers beyond float32: give finite numbers")
    return torch.from_numpy(array.reshape(1, *shape))

"""What a command is given: files and folders, pictures and measurements, and a mask."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posteriori.arrays import SUFFIX as ARRAY
from posteriori.arrays import read_array
from posteriori.errors import PosterioriError
from posteriori.images.files import BUNDLED, SUFFIXES, read_bytes, read_picture, to_tensor
from posteriori.images.fit import Fit, fit
from posteriori.restore.scale import Range, rescaled

#: of 255: what JPEG may leave of a mask's black and white
SLACK = 16


@dataclass(frozen=True)
class Source:
    """One input: ``path`` as it was given or found, and the ``name`` of what is written for it."""

    path: str
    name: str


@dataclass(frozen=True)
class Loaded:
    """An input as numbers: ``x`` (1, C, H, W) on [-1, 1], ``window`` (top, left, height, width) of what was
    in the file, ``size`` (height, width) of the file's picture, and ``about`` for the manifest.
    """

    x: Tensor
    window: tuple[int, int, int, int]
    size: tuple[int, int]
    about: dict[str, Any]

    @property
    def grey(self) -> bool:
        """Whether it has one value for all three channels of every pixel."""
        return self.x.ndim == 4 and self.x.shape[1] == 3 and bool((self.x == self.x[:, :1]).all())


def find_sources(paths: Sequence[str]) -> list[Source]:
    """The inputs behind ``paths``: bundled names, files, and the pictures and arrays that lie in folders, not hidden.

    A file given twice is one input. Names are the files' stems, made fit to name a folder beside results.json:
    printable, never hidden, and numbered where two would be the same, capitals not counting. FileNotFoundError
    where a path is missing, PosterioriError where a folder holds nothing to read.
    """
    found: list[str] = []
    for given in paths:
        path = Path(given)
        if given in BUNDLED:
            found.append(given)
        elif path.is_dir():
            read = (p for p in path.glob("[!.]*") if p.suffix.lower() in (*SUFFIXES, ARRAY))
            inside = sorted(str(p) for p in read if p.is_file())
            if not inside:
                raise PosterioriError(
                    f"{given} holds no picture: give a folder with {', '.join(SUFFIXES)} or {ARRAY} files"
                )
            found += inside
        elif path.exists():
            found.append(given)
        else:
            raise FileNotFoundError(
                f"{given} does not exist: give a picture, a folder of pictures, a measurement ({ARRAY}), "
                f"or one of {', '.join(BUNDLED)}"
            )
    once: dict[str | Path, str] = {}
    for path in found:
        once.setdefault(path if path in BUNDLED else Path(path).resolve(), path)
    sources, taken = [], {"results.json"}
    for path in once.values():
        stem = "".join(c if c.isprintable() else "_" for c in Path(path).stem).strip(". ") or "input"
        number = 1
        while (name := stem if number == 1 else f"{stem}-{number}").casefold() in taken:
            number += 1
        taken.add(name.casefold())
        sources.append(Source(path, name))
    return sources


def load(
    source: Source, shape: tuple[int, ...] | None, how: Fit | None, *, arrays: bool, scale: Range | None = None
) -> Loaded:
    """The picture or, with ``arrays``, the measurement behind ``source``, at ``shape`` (C, H, W), None for its own.

    Pictures are fitted (``images.fit``). Arrays must have the shape, less a first 1, and be finite; where their
    ``scale`` is not given they are floating-point numbers on [-1, 1].
    Raises OSError or PosterioriError, one line.
    """
    data = read_bytes(source.path)
    about: dict[str, Any] = {"file": source.path, "sha256": hashlib.sha256(data).hexdigest()}
    if Path(source.path).suffix.lower() == ARRAY:
        if not arrays:
            raise PosterioriError(
                f"{source.path} is a measurement, and --simulate degrades pictures: leave --simulate out"
            )
        x = rescaled(_array(data, source.path, shape, "f" if scale is None else "fiu"), scale)
        return Loaded(x, (0, 0, x.shape[-2], x.shape[-1]), (x.shape[-2], x.shape[-1]), about | {"kind": "array"})
    picture = read_picture(data, source.path)
    height, width = picture.pixels.shape[:2]
    shape = shape or (3, height, width)
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise PosterioriError(
            f"{source.path} is a picture, and this operator measures {shape}: give an array ({ARRAY})"
        )
    fitted = fit(picture.pixels, *shape[1:], how, source.path)
    about |= {"kind": "picture", "width": width, "height": height, "notes": list(picture.notes)}
    if fitted.note:
        about["fit"] = fitted.note
    return Loaded(to_tensor(fitted.pixels), fitted.window, (height, width), about)


def _array(data: bytes, path: str, shape: tuple[int, ...] | None, kinds: str) -> Tensor:
    array = read_array(data, path, kinds)
    if shape is None:
        shape = array.shape[1:] if array.ndim > 3 and len(array) == 1 else array.shape
        if len(shape) < 2 or not array.size:
            raise PosterioriError(f"{path} has shape {array.shape}: give a measurement, like (3, height, width)")
    if array.shape not in (shape, (1, *shape)):
        raise PosterioriError(f"{path} has shape {array.shape}: this measurement has {shape}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32, order="C")
    if not np.isfinite(array).all():
        raise PosterioriError(f"{path} holds NaN, infinity or numbers beyond float32: give finite numbers")
    return torch.from_numpy(array.reshape(1, *shape))


@dataclass(frozen=True)
class MaskFile:
    """``--mask``: a picture whose white is to be restored and whose black is kept; ``invert`` swaps them.

    A grey is the share of damage in what is seen there, as at the edge of a brush: such a pixel is restored, and the
    more is known of it the darker it is (``PerPixelNoise.behind``). Within ``SLACK`` of 255, black is black and white
    is white. ``pixels`` are (H, W), 255 for white.
    """

    path: str
    pixels: np.ndarray
    sha256: str
    invert: bool

    @classmethod
    def read(cls, path: str, *, invert: bool) -> MaskFile:
        """Raises OSError or PosterioriError: no picture, all white, or all black."""
        data = read_bytes(path)
        grey = read_picture(data, path).pixels.mean(2)
        grey = 255 - grey if invert else grey
        grey = np.where(grey < SLACK, 0.0, np.where(grey > 255 - SLACK, 255.0, grey)).astype(np.float32)
        swapped = ", swapped by --mask-invert" if invert else ""
        for everything, colour, problem in (
            ((grey == 255).all(), ("white", "black")[invert], "nothing would be left to restore from"),
            (not grey.any(), ("black", "white")[invert], "there would be nothing to restore"),
        ):
            if everything:
                raise PosterioriError(
                    f"{path} is all {colour}: {problem}; white is to be restored and black kept{swapped}"
                )
        return cls(path, grey, hashlib.sha256(data).hexdigest(), invert)

    def share(self, loaded: Loaded, shape: tuple[int, ...], how: Fit | None, source: Source) -> Tensor:
        """The share of damage in each pixel, (1, H, W) on [0, 1]: 0 is kept, and 1 hidden.

        Fitted as the picture was, or of the fitted size already. A pixel of a resampled picture has the share that
        was mixed into it.
        """
        size = self.pixels.shape[:2]
        if size not in (loaded.size, shape[1:]):
            (h, w), (height, width) = size, loaded.size
            raise PosterioriError(
                f"{self.path} is {w} x {h} pixels and {source.path} is {width} x {height}: give a mask of that size"
            )
        fitted = np.abs(fit(self.pixels, *shape[1:], how, self.path).pixels)  # negative ones are damage as well
        share = np.where(fitted < SLACK, 0.0, np.where(fitted > 255 - SLACK, 1.0, fitted / 255))
        if not share.any() or (share == 1).all():
            left = "none of it is kept" if share.any() else "all of it is kept"
            raise PosterioriError(f"{self.path} has nothing to tell about {source.path} once that is fitted: {left}")
        return torch.from_numpy(share.astype(np.float32))[None]


@dataclass(frozen=True)
class Masks:
    """One mask for all inputs, or each its own, by the input's name."""

    one: MaskFile | None
    own: Mapping[str, MaskFile]

    @classmethod
    def read(cls, path: str, sources: Sequence[Source], *, invert: bool) -> Masks:
        """From a picture, or a folder of masks whose files have the inputs' names, whatever their suffix.

        Raises OSError or PosterioriError as ``MaskFile.read``, and where an input has no mask, or two.
        """
        if not Path(path).is_dir():
            return cls(MaskFile.read(path, invert=invert), {})
        found: dict[str, list[Path]] = {}
        for file in sorted(Path(path).glob("[!.]*")):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                found.setdefault(file.stem, []).append(file)
        own = {}
        for source in sources:
            files = found.get(Path(source.path).stem, [])
            if len(files) != 1:
                has = "has no mask" if not files else f"has {' and '.join(file.name for file in files)}"
                raise PosterioriError(
                    f"{path} {has} for {source.path}: put one picture there with the name {Path(source.path).stem}"
                )
            own[source.name] = MaskFile.read(str(files[0]), invert=invert)
        return cls(None, own)

    def of(self, source: Source) -> MaskFile:
        return self.one or self.own[source.name]

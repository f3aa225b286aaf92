"""Samples of more than 8 bits, of which Pillow reads some in part and some wrongly."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from posteriori.errors import PosterioriError
from posteriori.images import science

_PHOTOMETRIC = 262  # the TIFF tag that says whether zero is black
_MOST = 281  # the TIFF tag that says which number is white, where it is not the largest
#: the TIFF tags of bits, compression (1 is none), samples a pixel, planes (2 where each sample has its own), signs (2)
_BITS, _COMPRESSION, _SAMPLES, _PLANES, _SIGNS = 258, 259, 277, 284, 339
#: which half of 16 bits Pillow takes of each sample: by its name of the layout, the layout that gives the other half
_OTHER_HALF = {"16L": "16B", "16B": "16L", "16N": "16B" if sys.byteorder == "little" else "16L"}


def check(picture: Image.Image) -> None:
    """PosterioriError for samples that Pillow reads wrongly, or without what they mean."""
    tags: Any = getattr(picture, "tag_v2", {})
    bits, raw = max(tags.get(_BITS, (1,))), tags.get(_COMPRESSION, 1) == 1
    if bits > 8 and raw and tags.get(_PLANES) == 2 and tags.get(_SAMPLES, 1) > 1:
        raise PosterioriError("16-bit colours in planes of their own; store them pixel by pixel, or compress it")
    signs = tags.get(_SIGNS, (1,))[0]
    if signs == 2 and (bits == 8 or (not raw and tags.prefix == b"MM")):
        raise PosterioriError("signed samples; convert it to unsigned ones")
    if picture.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0:
        raise PosterioriError("16-bit samples whose white is zero; convert it to 8 bits")
    if is_deep(picture) and "transparency" in picture.info:
        raise PosterioriError("a transparent colour among 16-bit samples; convert it to 8 bits")


def layout_of(picture: Image.Image) -> str:
    """What Pillow knows of how the file stores its samples."""
    return str(getattr(picture, "tile", ""))


def is_deep(picture: Image.Image) -> bool:
    """Whether samples have more than 8 bits: to be asked before decoding, which forgets it."""
    return picture.mode.startswith("I;16") or re.search(";16[BLN]", layout_of(picture)) is not None


def check_signs(picture: Image.Image, samples: np.ndarray) -> None:
    """PosterioriError for unsigned samples of 32 bits that Pillow takes for signed ones."""
    tags: Any = getattr(picture, "tag_v2", {})
    if picture.format == "TIFF" and tags.get(_SIGNS, (1,))[0] == 1 and samples.min() < 0:
        raise PosterioriError("samples of 32 bits from 2147483648 up; convert it to 16 bits")


def declared_white(picture: Image.Image) -> int | None:
    """The number that a TIFF says is white."""
    white = getattr(picture, "tag_v2", {}).get(_MOST)
    return white if isinstance(white, int) else None


def deep_samples(data: bytes, formats: list[str], turned: Image.Image, layout: str) -> np.ndarray | None:
    """The samples of more than 8 bits, (H, W, C) float64; None where there are none, or Pillow has no way to them.

    ``turned`` is the file's picture, turned as its EXIF says, and ``layout`` the file's. Of colours Pillow takes the
    upper 8 bits of 16. Read again as if the bytes were in the other order, it takes the lower 8.
    """
    if turned.mode in ("I", "F") or turned.mode.startswith("I;16"):
        return np.asarray(turned, np.float64)[..., None]
    if turned.mode not in ("RGB", "RGBA") or not re.search(r"\bRGBA?;16[BLN]\b", layout):
        return None
    again: Any = Image.open(io.BytesIO(data), formats=formats)
    swapped = []
    for tile in again.tile:
        args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        args = tuple(re.sub("16[BLN]", lambda m: _OTHER_HALF[m[0]], a) if isinstance(a, str) else a for a in args)
        swapped.append(tile._replace(args=args if isinstance(tile.args, tuple) else args[0]))
    again.tile = swapped
    lower = ImageOps.exif_transpose(again)
    return 256 * np.asarray(turned, np.float64) + np.asarray(lower, np.float64)


def floating_colours(data: bytes) -> np.ndarray | None:
    """(H, W, 3) float64 of a TIFF of floating-point colours, of which Pillow reads none; None for anything else."""
    if not data.startswith((b"II*\0", b"MM\0*")):
        return None
    import tifffile

    with science.silent("tifffile"), tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        floating = page.dtype is not None and page.dtype.kind == "f" and page.shape[2:] == (3,)
        if not floating or page.shape[0] * page.shape[1] > (Image.MAX_IMAGE_PIXELS or 0):
            return None
        return page.asarray().astype(np.float64)

"""Pictures in and out: files to tensors on [-1, 1], and back."""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import atomic_path
from posteriori.images.fit import fit
from posteriori.images.picture import ACCEPTED, BUNDLED, FORMATS, read_picture

#: the name of standard input
STANDARD_INPUT = "-"
_SAVED = tuple(s for kind, suffixes in FORMATS.items() if kind not in ("GIF", "HEIF", "PPM") for s in suffixes)


def load_image(source: str | Path, size: int | None = None) -> Tensor:
    """The picture ``source`` as (1, 3, H, W) float32 on [-1, 1].

    ``source`` is a bundled name (``BUNDLED``) or else a path; "./coffee" is always a path. With ``size``
    the centre square is brought to size x size pixels by Lanczos resampling, enlarged where it is smaller.
    The EXIF rotation is applied, transparency is laid over white, and of several frames the first is taken. Colours of
    an embedded profile are brought to sRGB, those of 16 bits and greys are not. 16 bits are kept (``read_picture``).

    Raises OSError where the file cannot be opened, PosterioriError where it is no such picture, is damaged, or
    declares more pixels than Pillow deems safe (``PIL.Image.MAX_IMAGE_PIXELS``), and where ``size`` < 1.
    """
    if size is not None and size < 1:
        raise PosterioriError(f"size is {size}: give at least 1 pixel")
    pixels = read_picture(read_bytes(source), source).pixels
    return to_tensor(pixels if size is None else fit(pixels, size, size, "resize", source).pixels)


def read_bytes(source: str | Path) -> bytes:
    """The file behind ``source``, a bundled name, "-" (standard input) or a path. OSError where it cannot be read."""
    if source == STANDARD_INPUT:
        return _standard_input()
    if isinstance(source, str) and source in BUNDLED:
        return resources.files("posteriori").joinpath("data", BUNDLED[source]).read_bytes()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise type(error)(f"{source} cannot be read ({error.strerror}): {ACCEPTED}") from None


@cache
def _standard_input() -> bytes:
    """Which can be read once."""
    return sys.stdin.buffer.read()


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(1, 3, H, W) float32 on [-1, 1] of (H, W, 3) uint8, or float32 on [0, 1]."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return (x.float() / 127.5 - 1 if x.dtype == torch.uint8 else 2 * x - 1).contiguous()


def to_uint8(x: Tensor) -> np.ndarray:
    """One image (3, H, W) or (1, 3, H, W) on [-1, 1], clamped and rounded to (H, W, 3) uint8.

    Raises PosterioriError on another shape and on NaN, which would otherwise turn black.
    """
    image = x[0] if x.ndim == 4 and len(x) == 1 else x
    if image.ndim != 3 or image.shape[0] != 3:
        raise PosterioriError(f"got shape {tuple(x.shape)}: give one image, (3, H, W) or (1, 3, H, W)")
    if image.isnan().any():
        raise PosterioriError("the image holds NaN: it has no picture")
    pixels = (image.detach().float().clamp(-1, 1) + 1) * 127.5
    return pixels.round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def save_grey(values: np.ndarray, path: str | Path) -> None:
    """Writes ``values``, (H, W), of which 0 is black and 1 is white, as a picture: see ``save_image``."""
    save_image(2 * torch.from_numpy(values).float().expand(3, -1, -1) - 1, path)


def save_image(x: Tensor, path: str | Path) -> None:
    """Writes one image (see ``to_uint8``) as 8-bit RGB; the suffix of ``path`` names the format, and PNG is lossless.

    The file appears whole or not at all. Raises PosterioriError on an unknown suffix, OSError where it cannot be
    written.
    """
    if Path(path).suffix.lower() not in _SAVED:
        raise PosterioriError(f"{path} does not end like a picture: take one of {', '.join(_SAVED)}")
    picture = Image.fromarray(to_uint8(x))
    with atomic_path(path) as temporary:
        picture.save(temporary, quality=95)

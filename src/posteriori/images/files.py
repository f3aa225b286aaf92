"""Pictures in and out: files to tensors on [-1, 1], and back."""

from __future__ import annotations

import io
import sys
from contextlib import nullcontext
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
from posteriori.images.pixels import from_bytes, to_bytes

#: the name of standard input
STANDARD_INPUT = "-"
#: bytes of a file that is read: a film given by mistake would fill the memory
MOST = 2**32
_SAVED = tuple(s for kind, suffixes in FORMATS.items() if kind not in ("GIF", "HEIF", "PPM") for s in suffixes)


def load_image(source: str | Path, size: int | None = None) -> Tensor:
    """The picture ``source`` as (1, 3, H, W) float32 on [-1, 1].

    ``source`` is a bundled name (``BUNDLED``) or a path; "./coffee" is always a path. With ``size``, the centre square
    is resampled to size x size pixels (Lanczos), and enlarged if it is smaller. The EXIF rotation is applied.
    Transparency is laid over white. The first of several frames is taken. 8-bit colours with an embedded profile are
    converted to sRGB; 16-bit colours and greys are not. 16 bits are kept (``read_picture``).

    Raises OSError if the file cannot be opened. Raises PosterioriError if it is not a picture, is damaged, or declares
    more pixels than Pillow considers safe (``PIL.Image.MAX_IMAGE_PIXELS``), and if ``size`` < 1.
    """
    if size is not None and size < 1:
        raise PosterioriError(f"size is {size}: give at least 1 pixel")
    pixels = read_picture(read_bytes(source), source).pixels
    return to_tensor(pixels if size is None else fit(pixels, size, size, "resize", source).pixels)


def read_bytes(source: str | Path) -> bytes:
    """The file ``source``: a bundled name, "-" (standard input) or a path, also of a pipe.

    Raises OSError if it cannot be read, and PosterioriError if it has more than ``MOST`` bytes.
    """
    if source == STANDARD_INPUT:
        return _stream(STANDARD_INPUT)
    if isinstance(source, str) and source in BUNDLED:
        return resources.files("posteriori").joinpath("data", BUNDLED[source]).read_bytes()
    path = Path(source)
    try:
        if path.is_fifo() or path.is_char_device():
            return _stream(str(source))
        check_size(path.stat().st_size, source)
        return path.read_bytes()
    except OSError as error:
        raise type(error)(f"{source} cannot be read ({error.strerror}): {ACCEPTED}") from None


@cache
def _stream(source: str) -> bytes:
    """Standard input, a pipe or a device, which can be read only once."""
    data = io.BytesIO()
    with nullcontext(sys.stdin.buffer) if source == STANDARD_INPUT else open(source, "rb") as file:
        while part := file.read(2**20):
            data.write(part)
            check_size(data.tell(), source)
    return data.getvalue()


def check_size(size: int, source: str | Path) -> None:
    """PosterioriError if ``source`` has more than ``MOST`` bytes."""
    if size > MOST:
        raise PosterioriError(f"{source} has more than {MOST / 2**30:g} GiB, which no picture has: {ACCEPTED}")


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(B, 3, H, W) float32 on [-1, 1] of (B, H, W, 3) uint8, or float32 on [0, 1]; of (H, W, 3), B is 1."""
    x = torch.from_numpy(pixels).movedim(-1, -3)
    x = x if x.ndim == 4 else x[None]
    return (from_bytes(x) if x.dtype == torch.uint8 else 2 * x - 1).contiguous()


def to_uint8(x: Tensor) -> np.ndarray:
    """One image (3, H, W) or (1, 3, H, W) on [-1, 1], clamped and rounded to (H, W, 3) uint8.

    Raises PosterioriError on another shape and on NaN, which would otherwise turn black.
    """
    image = x[0] if x.ndim == 4 and len(x) == 1 else x
    if image.ndim != 3 or image.shape[0] != 3:
        raise PosterioriError(f"got shape {tuple(x.shape)}: give one image, (3, H, W) or (1, 3, H, W)")
    if image.isnan().any():
        raise PosterioriError("the image holds NaN: it has no picture")
    return to_bytes(image.detach().float()).permute(1, 2, 0).contiguous().cpu().numpy()


def save_grey(values: np.ndarray, path: str | Path) -> None:
    """Writes ``values``, (H, W), 0 for black and 1 for white, as a picture: see ``save_image``."""
    save_image(2 * torch.from_numpy(values).float().expand(3, -1, -1) - 1, path)


def save_image(x: Tensor, path: str | Path) -> None:
    """Writes one image, (3, H, W) or (1, 3, H, W) on [-1, 1], clamped, as 8-bit RGB.

    The suffix of ``path`` names the format; PNG is lossless. The file is written completely or not at all. Raises
    PosterioriError on another shape, NaN or an unknown suffix, and OSError if the file cannot be written.
    """
    if Path(path).suffix.lower() not in _SAVED:
        raise PosterioriError(f"{path} does not end like a picture: take one of {', '.join(_SAVED)}")
    picture = Image.fromarray(to_uint8(x))
    with atomic_path(path) as temporary:
        picture.save(temporary, quality=95)

"""Pictures in and out: files to tensors on [-1, 1], and back."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageOps
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import atomic_path
from posteriori.images.fit import fit

BUNDLED = {"astronaut": "astronaut-face.png", "chelsea": "chelsea.png", "coffee": "coffee.png"}
"""The pictures that come with the package: name to file in ``data/``, where ``SOURCES.md`` says whose they are."""

_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp")
_PHOTOMETRIC = 262  # the TIFF tag that says whether zero is black
_ACCEPTED = f"give a PNG, JPEG, WebP, TIFF or BMP file, or one of {', '.join(BUNDLED)}"


@dataclass(frozen=True)
class Picture:
    """A picture as it was read: ``pixels`` (H, W, 3) uint8, and ``notes`` on what stood in the file's place."""

    pixels: np.ndarray
    notes: tuple[str, ...]


def load_image(source: str | Path, size: int | None = None) -> Tensor:
    """The picture ``source`` as (1, 3, H, W) float32 on [-1, 1].

    ``source`` is a bundled name (``BUNDLED``) or else a path; "./coffee" is always a path. With ``size``
    the centre square is brought to size x size pixels by Lanczos resampling, enlarged where it is smaller.
    The EXIF rotation is applied, transparency is laid over white, 16-bit samples are reduced to 8 bits, and of
    several frames the first is taken. Colours of an embedded profile are brought to sRGB, greys and 16 bits are not.

    Raises OSError where the file cannot be opened, PosterioriError where it is no such picture, is damaged, or
    declares more pixels than Pillow deems safe (``PIL.Image.MAX_IMAGE_PIXELS``), and where ``size`` < 1.
    """
    if size is not None and size < 1:
        raise PosterioriError(f"size is {size}: give at least 1 pixel")
    pixels = read_picture(read_bytes(source), source).pixels
    return to_tensor(pixels if size is None else fit(pixels, size, size, "resize", source).pixels)


def read_bytes(source: str | Path) -> bytes:
    """The file behind ``source``, a bundled name or a path. OSError where it cannot be read."""
    if isinstance(source, str) and source in BUNDLED:
        return resources.files("posteriori").joinpath("data", BUNDLED[source]).read_bytes()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise type(error)(f"{source} cannot be read ({error.strerror}): {_ACCEPTED}") from None


def read_picture(data: bytes, source: str | Path) -> Picture:
    """The picture in ``data``; ``source`` is for error messages. PosterioriError as ``load_image``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata around sound pixels
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=_FORMATS)
            _check(picture)
            notes = _notes(picture)
            turned, grey = ImageOps.exif_transpose(picture), picture.mode in ("1", "L", "LA") or _deep(picture)
            own = turned if picture.mode == "CMYK" else _rgb(turned)
            converted = None if grey else _to_srgb(own, picture.info.get("icc_profile"))
            if converted:
                notes = (*notes, "converted from its colour profile to sRGB")
            return Picture(np.array(converted or _rgb(own)), notes)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        problem = f"declares more than {Image.MAX_IMAGE_PIXELS} pixels, too many to decode safely"
    except Image.UnidentifiedImageError:
        problem = "is not a picture" if data else "is empty"
    except Exception as error:  # decoders raise nearly anything on damaged data
        problem = f"is damaged or of an unsupported kind ({error})"
    raise PosterioriError(f"{source} {problem}: {_ACCEPTED}")


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(1, 3, H, W) float32 on [-1, 1] of (H, W, 3) uint8."""
    return (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1).contiguous()


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


def save_image(x: Tensor, path: str | Path) -> None:
    """Writes one image (see ``to_uint8``) as 8-bit RGB; the suffix of ``path`` names the format, and PNG is lossless.

    The file appears whole or not at all. Raises PosterioriError on an unknown suffix, OSError where it cannot be
    written.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise PosterioriError(f"{path} does not end like a picture: take one of {', '.join(SUFFIXES)}")
    picture = Image.fromarray(to_uint8(x))
    with atomic_path(path) as temporary:
        picture.save(temporary, quality=95)


def _check(picture: Image.Image) -> None:
    """PosterioriError for samples that Pillow reads without what they mean."""
    if picture.mode in ("I", "F"):
        raise PosterioriError("32-bit samples have no stated white; convert it to 8 or 16 bits")
    if "I;12" in _layout(picture):
        raise PosterioriError("12-bit samples; convert it to 8 or 16 bits")
    if picture.mode.startswith("I;16") and getattr(picture, "tag_v2", {}).get(_PHOTOMETRIC) == 0:
        raise PosterioriError("16-bit samples whose white is zero; convert it to 8 bits")
    if _deep(picture) and "transparency" in picture.info:
        raise PosterioriError("a transparent colour among 16-bit samples; convert it to 8 bits")


def _layout(picture: Image.Image) -> str:
    """What Pillow knows of how the file stores its samples."""
    return str(getattr(picture, "tile", ""))


def _deep(picture: Image.Image) -> bool:
    return picture.mode.startswith("I;16") or re.search(";16[BLN]", _layout(picture)) is not None


def _notes(picture: Image.Image) -> tuple[str, ...]:
    """What a file holds that an 8-bit RGB picture does not, and what becomes of it."""
    deep = _deep(picture)  # first of all: what decodes the picture forgets its layout
    frames = getattr(picture, "n_frames", 1)
    turned = picture.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    notes = {
        f"{frames} frames: the first was taken": frames > 1,
        "16-bit samples were reduced to 8 bits": deep,
        "transparency was laid over white": _transparent(picture),
        f"converted from {picture.mode} to RGB": picture.mode not in ("RGB", "RGBA"),
        "turned as its EXIF says": turned,
    }
    return tuple(note for note, applies in notes.items() if applies)


def _transparent(picture: Image.Image) -> bool:
    """Whether any pixel is; many files have an alpha channel that is opaque throughout."""
    return picture.has_transparency_data and bool(np.asarray(picture.convert("RGBA").getchannel("A")).min() < 255)


#: colours from all over the cube, (5, 25, 3) uint8
_CUBE = np.stack(np.meshgrid(*[np.linspace(0, 255, 5)] * 3, indexing="ij"), -1).reshape(5, 25, 3).astype(np.uint8)


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image | None:
    """An RGB or CMYK ``picture`` in sRGB; None without a profile of its kind, or with one that is sRGB within 3/255."""
    if not profile:
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), picture.mode, "RGB"
        )
        probe = picture.mode == "RGB" and ImageCms.applyTransform(Image.fromarray(_CUBE), transform)
        if probe and np.abs(np.asarray(probe).astype(int) - _CUBE).max() <= 3:
            return None
        return ImageCms.applyTransform(picture, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile says nothing
        return None


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        return Image.fromarray(np.round(np.asarray(picture) / 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")

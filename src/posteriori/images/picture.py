"""Pictures as they are read: their samples, what those mean, and what of the file a result is to keep."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.images import science
from posteriori.images.profiles import to_srgb
from posteriori.images.samples import (
    check,
    check_signs,
    declared_white,
    deep_samples,
    floating_colours,
    is_deep,
    layout_of,
)
from posteriori.images.span import Span, Unstated, find_span, on_unit

#: Pillow's names of what it reads here, and how files of each end
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif"),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes) + science.SUFFIXES
BUNDLED = {"astronaut": "astronaut-face.png", "chelsea": "chelsea.png", "coffee": "coffee.png"}
"""The pictures that come with the package: name to file in ``data/``, where ``SOURCES.md`` says whose they are."""

ACCEPTED = f"give a PNG, JPEG, WebP, TIFF, AVIF or another picture's file, or one of {', '.join(BUNDLED)}"

#: the tags of description, maker, model, program, date, artist and rights
_TEXTS = (270, 271, 272, 305, 306, 315, 33432)


@dataclass(frozen=True)
class Origin:
    """What a result needs in order to be written as its file was.

    ``format`` is Pillow's name or a key of ``science.READERS``. Samples have ``bits``, 32 are floating-point numbers,
    and ``span`` is their (black, white). ``alpha`` is (H, W) float32 on [0, 1]. Where ``converted``, pixels were
    brought to sRGB from the profile ``icc``.
    """

    format: str
    bits: int = 8
    span: Span = (0.0, 255.0)
    alpha: np.ndarray | None = field(default=None, compare=False)
    icc: bytes | None = None
    converted: bool = False
    exif: bytes = b""
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True)
class Picture:
    """A picture as it was read.

    ``pixels`` are (H, W, 3): uint8, or float32 on [0, 1] where the file has more than 8 bits. ``notes`` say what stood
    in the file's place.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]
    origin: Origin

    @property
    def eight_bits(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        if self.pixels.dtype == np.uint8:
            return self.pixels
        return np.round(255 * self.pixels.clip(0, 1)).astype(np.uint8)

    @property
    def unit(self) -> np.ndarray:
        """(H, W, 3) float64 on [0, 1]."""
        return self.pixels / (255.0 if self.pixels.dtype == np.uint8 else 1.0)


@contextmanager
def unwarned() -> Generator[None]:
    """Without what Pillow warns of and logs: damaged metadata around sound pixels, and what its errors say."""
    with warnings.catch_warnings(), science.silent("PIL.TiffImagePlugin"):
        warnings.simplefilter("ignore")
        yield


def read_picture(data: bytes, source: str | Path, given: str | None = None) -> Picture:
    """The picture in ``data``; ``source`` is for error messages, and tells files apart that Pillow does not read.

    ``given`` is the range "BLACK..WHITE" of samples whose file does not say it: of 16 bits and more. Without, 16 bits
    of which no sample has more than 12 are taken as 12 or fewer, and floating-point numbers must be on [0, 1].
    PosterioriError as ``load_image``.
    """
    if (kind := science.kind_of(str(source))) is not None:
        found = science.READERS[kind](data, str(source), given)
        return Picture(_three(found.pixels), found.notes, Origin(kind, found.bits, found.span))
    formats = [name for name in FORMATS if name != "HEIF"]
    if str(source).lower().endswith(FORMATS["HEIF"]):
        science.register_heif(str(source))
        formats = ["HEIF"]
    try:
        with unwarned():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _read(data, formats, given)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        problem = f"declares more than {Image.MAX_IMAGE_PIXELS} pixels, too many to decode safely"
    except Image.UnidentifiedImageError:
        problem = "is not a picture" if data else "is empty"
    except Unstated as error:
        raise PosterioriError(f"{source} {error}") from None
    except MemoryError:
        raise MemoryError(f"there is not enough memory to read {source}: give a smaller copy") from None
    except Exception as error:  # decoders raise nearly anything on damaged data
        problem = f"is damaged or of an unsupported kind ({first_line(error)})"
    raise PosterioriError(f"{source} {problem}: {ACCEPTED}")


def _read(data: bytes, formats: list[str], given: str | None) -> Picture:
    try:
        picture = Image.open(io.BytesIO(data), formats=formats)
    except Image.UnidentifiedImageError:
        if (colours := floating_colours(data)) is None:
            raise
        span, note = find_span(colours, True, 32, given, None)
        return Picture(on_unit(colours, span), note, Origin("TIFF", bits=32, span=span))
    check(picture)
    deep, layout = is_deep(picture), layout_of(picture)  # first of all: decoding forgets it
    notes = _notes(picture)
    icc, mode = picture.info.get("icc_profile"), picture.mode
    origin: dict[str, Any] = {"format": picture.format or "", "icc": icc, "dpi": picture.info.get("dpi")}
    turned = ImageOps.exif_transpose(picture)
    tiff = picture.format == "TIFF"
    if exif := _described((picture if tiff else turned).getexif(), tags_are_layout=tiff):
        origin["exif"] = exif.tobytes()
    grey = mode in ("1", "L", "LA", "I", "F") or mode.startswith("I;16")
    samples = deep_samples(data, formats, turned, layout)
    if samples is None:
        own = turned if mode == "CMYK" else _rgb(turned)
        converted = None if grey or deep else to_srgb(own, icc)
        if converted:
            notes = (*notes, "converted from its colour profile to sRGB")
        origin |= {"alpha": _alpha(turned), "converted": converted is not None}
        reduced = ("16-bit samples were reduced to 8 bits",) if deep else ()
        return Picture(np.array(converted or _rgb(own)), (*reduced, *notes), Origin(**origin))
    bits = 32 if mode == "F" or (mode == "I" and picture.format != "PPM") else 16
    check_signs(picture, samples)
    span, note = find_span(samples[..., :3], mode == "F", bits, given, declared_white(picture))
    colour = on_unit(samples[..., :3], span)
    alpha = (samples[..., 3] / 65535).astype(np.float32) if samples.shape[-1] == 4 else None
    if alpha is not None and alpha.min() < 1:
        colour = alpha[..., None] * colour + (1 - alpha[..., None])
        origin["alpha"] = alpha
    if not grey and to_srgb(_rgb(turned), icc):
        note = (*note, "its colour profile is kept, and its samples are taken as they are")
    return Picture(_three(colour), (*note, *notes), Origin(**origin, bits=bits, span=span))


def _three(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 of (H, W, 1 or 3)."""
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.float32, order="C")


def _notes(picture: Image.Image) -> tuple[str, ...]:
    """What a file holds that a picture of three colours does not, and what becomes of it."""
    frames = getattr(picture, "n_frames", 1)
    turned = picture.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    kept = picture.mode in ("RGB", "RGBA", "L", "LA", "1", "I", "F") or picture.mode.startswith("I;16")
    notes = {
        f"{frames} frames: the first was taken": frames > 1,
        "transparency was laid over white": _transparent(picture),
        f"converted from {picture.mode} to RGB": not kept,
        "turned as its EXIF says": turned,
    }
    return tuple(note for note, applies in notes.items() if applies)


def _described(exif: Image.Exif, *, tags_are_layout: bool) -> Image.Exif:
    """What of ``exif`` says something of the picture: of a TIFF's tags those that are text, and what a camera noted."""
    if not tags_are_layout:
        return exif
    kept = Image.Exif()
    for tag in _TEXTS:
        if tag in exif:
            kept[tag] = exif[tag]
    if camera := exif.get_ifd(ExifTags.IFD.Exif):
        kept.get_ifd(ExifTags.IFD.Exif).update(camera)
    return kept


def _alpha(picture: Image.Image) -> np.ndarray | None:
    """The opacity, (H, W) float32 on [0, 1]; None where all is opaque."""
    if not _transparent(picture):
        return None
    return np.asarray(picture.convert("RGBA").getchannel("A"), np.float32) / 255


def _transparent(picture: Image.Image) -> bool:
    """Whether any pixel is; many files have an alpha channel that is opaque throughout."""
    return picture.has_transparency_data and bool(np.asarray(picture.convert("RGBA").getchannel("A")).min() < 255)


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        return Image.fromarray(np.round(np.asarray(picture) / 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")

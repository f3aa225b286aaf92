"""Pictures as they are read: their samples, what those mean, and what of the file a result is to keep."""

from __future__ import annotations

import io
import re
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.images import science
from posteriori.images.span import Span, on_unit, read_span

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
_PHOTOMETRIC = 262  # the TIFF tag that says whether zero is black
_MOST = 281  # the TIFF tag that says which number is white, where it is not the largest
#: the TIFF tags of bits, compression (1 is none), samples a pixel, planes (2 where each sample has its own), signs (2)
_BITS, _COMPRESSION, _SAMPLES, _PLANES, _SIGNS = 258, 259, 277, 284, 339
#: which half of 16 bits Pillow takes of each sample: by its name of the layout, the layout that gives the other half
_OTHER_HALF = {"16L": "16B", "16B": "16L", "16N": "16B" if sys.byteorder == "little" else "16L"}


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
    except _Unstated as error:
        raise PosterioriError(f"{source} {error}") from None
    except MemoryError:
        raise MemoryError(f"there is not enough memory to read {source}: give a smaller copy") from None
    except Exception as error:  # decoders raise nearly anything on damaged data
        problem = f"is damaged or of an unsupported kind ({first_line(error)})"
    raise PosterioriError(f"{source} {problem}: {ACCEPTED}")


class _Unstated(Exception):
    """Samples whose black and white nobody said."""


def _read(data: bytes, formats: list[str], given: str | None) -> Picture:
    try:
        picture = Image.open(io.BytesIO(data), formats=formats)
    except Image.UnidentifiedImageError:
        if (colours := _floating_colours(data)) is None:
            raise
        span, note = _span(colours, True, 32, given, None)
        return Picture(on_unit(colours, span), note, Origin("TIFF", bits=32, span=span))
    _check(picture)
    deep, layout = _deep(picture), _layout(picture)  # first of all: decoding forgets it
    notes = _notes(picture)
    icc, mode = picture.info.get("icc_profile"), picture.mode
    origin: dict[str, Any] = {"format": picture.format or "", "icc": icc, "dpi": picture.info.get("dpi")}
    tags: Any = getattr(picture, "tag_v2", {})
    white = tags.get(_MOST)
    turned = ImageOps.exif_transpose(picture)
    tiff = picture.format == "TIFF"
    if exif := _described((picture if tiff else turned).getexif(), tags_are_layout=tiff):
        origin["exif"] = exif.tobytes()
    grey = mode in ("1", "L", "LA", "I", "F") or mode.startswith("I;16")
    samples = _samples(data, formats, turned, layout)
    if samples is None:
        own = turned if mode == "CMYK" else _rgb(turned)
        converted = None if grey or deep else _to_srgb(own, icc)
        if converted:
            notes = (*notes, "converted from its colour profile to sRGB")
        origin |= {"alpha": _alpha(turned), "converted": converted is not None}
        reduced = ("16-bit samples were reduced to 8 bits",) if deep else ()
        return Picture(np.array(converted or _rgb(own)), (*reduced, *notes), Origin(**origin))
    bits = 32 if mode == "F" or (mode == "I" and picture.format != "PPM") else 16
    if tiff and tags.get(_SIGNS, (1,))[0] == 1 and samples.min() < 0:  # which Pillow takes for signed ones
        raise PosterioriError("samples of 32 bits from 2147483648 up; convert it to 16 bits")
    span, note = _span(samples[..., :3], mode == "F", bits, given, white if isinstance(white, int) else None)
    colour = on_unit(samples[..., :3], span)
    alpha = (samples[..., 3] / 65535).astype(np.float32) if samples.shape[-1] == 4 else None
    if alpha is not None and alpha.min() < 1:
        colour = alpha[..., None] * colour + (1 - alpha[..., None])
        origin["alpha"] = alpha
    if not grey and _to_srgb(_rgb(turned), icc):
        note = (*note, "its colour profile is kept, and its samples are taken as they are")
    return Picture(_three(colour), (*note, *notes), Origin(**origin, bits=bits, span=span))


def _three(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 of (H, W, 1 or 3)."""
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), np.float32, order="C")


def _samples(data: bytes, formats: list[str], turned: Image.Image, layout: str) -> np.ndarray | None:
    """The samples of more than 8 bits, (H, W, C) float64; None where there are none, or Pillow has no way to them.

    Of colours Pillow takes the upper 8 bits of 16. Read again as if the bytes were in the other order, it takes the
    lower 8.
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


def _floating_colours(data: bytes) -> np.ndarray | None:
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


def _span(
    samples: np.ndarray, floating: bool, bits: int, given: str | None, declared: int | None
) -> tuple[Span, tuple[str, ...]]:
    """(black, white) of ``samples``, and what to say of it."""
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("it holds NaN or infinity")
    if given is not None:
        return read_span(given), (f"{given} was taken as black to white",)
    if bits == 32:
        if floating and low >= 0 and high <= 1:
            return (0.0, 1.0), ("floating-point samples: 0..1 was taken as black to white",)
        raise _Unstated(
            f"has 32-bit samples from {low:g} to {high:g}, and does not say which is white: name black and white with "
            "--range, like 0..255"
        )
    most = 2**16 - 1
    if declared and declared < most:
        return (0.0, float(declared)), (f"0..{declared} was taken as black to white, as the file says",)
    used = next((n for n in (8, 10, 12) if high < 2**n), 16)
    if used == 16 or high == 0:
        return (0.0, float(most)), ()
    white = 2**used - 1
    note = (
        f"no sample of 16 bits is above {high:.0f}: 0..{white} was taken as black to white (--range 0..{most} for all)"
    )
    return (0.0, float(white)), (note,)


def _check(picture: Image.Image) -> None:
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
    if _deep(picture) and "transparency" in picture.info:
        raise PosterioriError("a transparent colour among 16-bit samples; convert it to 8 bits")


def _layout(picture: Image.Image) -> str:
    """What Pillow knows of how the file stores its samples."""
    return str(getattr(picture, "tile", ""))


def _deep(picture: Image.Image) -> bool:
    return picture.mode.startswith("I;16") or re.search(";16[BLN]", _layout(picture)) is not None


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

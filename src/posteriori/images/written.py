"""A result written as its file was: in its format, with its bits, alpha, profile and EXIF."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from torch import Tensor

from posteriori.images.picture import FORMATS, Origin
from posteriori.images.profiles import from_srgb

Format = Literal["png", "jpeg", "webp", "tiff", "avif", "jp2", "ppm", "bmp", "npy"]

#: by the name of a format: Pillow's name, the suffix, the most bits that are written, and whether it holds alpha
_KINDS: dict[Format, tuple[str, str, int, bool]] = {
    "png": ("PNG", ".png", 16, True),
    "jpeg": ("JPEG", ".jpg", 8, False),
    "webp": ("WEBP", ".webp", 8, True),
    "tiff": ("TIFF", ".tif", 32, True),
    "avif": ("AVIF", ".avif", 8, True),
    "jp2": ("JPEG2000", ".jp2", 8, True),
    "ppm": ("PPM", ".ppm", 8, False),
    "bmp": ("BMP", ".bmp", 8, False),
    "npy": ("NPY", ".npy", 32, False),
}
#: what takes the place of formats that are not written: 256 colours, and files of instruments
_INSTEAD: dict[str, Format] = {
    "GIF": "png",
    "HEIF": "jpeg",
    "MPO": "jpeg",
    "RAW": "tiff",
    "DICOM": "tiff",
    "NIfTI": "tiff",
}


def format_of(origin: Origin) -> Format:
    """The format in which a result is written where the user names none."""
    own: dict[str, Format] = {kind[0]: key for key, kind in _KINDS.items()}
    return (own | _INSTEAD).get(origin.format, "png")


def write_like(x: Tensor, folder: Path, stem: str, suffix: str, origin: Origin, kind: Format | None) -> Path:
    """Writes one image ``x`` (C, H, W) on [-1, 1] into ``folder`` as the file of ``origin``, which ended in ``suffix``.

    In the format ``kind``, or the file's. Where all channels are equal there is one. Where alpha is 0 the colour says
    nothing, and is white. Returns the new file's path: ``stem``, or ``stem``-restored where that is taken.
    """
    kind = kind or format_of(origin)
    pillow, usual, most, holds_alpha = _KINDS[kind]
    ending = suffix if suffix.lower() in FORMATS.get(pillow, ()) else usual
    path = folder / f"{stem}{ending}"
    if path.exists():
        path = folder / f"{stem}-restored{ending}"
    pixels = (x.clamp(-1, 1).double().permute(1, 2, 0).numpy() + 1) / 2  # (H, W, C) on [0, 1]
    if kind == "npy":
        values = origin.span[0] + pixels * (origin.span[1] - origin.span[0])
        np.save(path, values.transpose(2, 0, 1).astype(np.float32))
        return path
    bits, icc = min(origin.bits, most), origin.icc
    if origin.converted:
        icc, pixels = from_srgb(pixels, origin.icc)
    if (pixels == pixels[..., :1]).all() and not origin.converted:
        pixels = pixels[..., :1]
    alpha = _resized(origin.alpha, *pixels.shape[:2]) if holds_alpha else None
    if alpha is not None:  # which was laid over white
        behind = (pixels - (1 - alpha)) / np.where(alpha > 0, alpha, 1)
        pixels = np.concatenate([np.where(alpha > 0, behind, 1).clip(0, 1), alpha], -1)
    if bits == 8:
        _eight_bits(pixels, path, pillow, icc, origin)
    elif kind == "png":
        path.write_bytes(_png(_whole(pixels, origin), icc, origin))
    else:
        _tiff(pixels, path, icc, origin, bits)
    return path


def _resized(alpha: np.ndarray | None, height: int, width: int) -> np.ndarray | None:
    if alpha is None:
        return None
    if alpha.shape != (height, width):
        alpha = np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    return alpha[..., None].astype(np.float64)


def _eight_bits(pixels: np.ndarray, path: Path, pillow: str, icc: bytes | None, origin: Origin) -> None:
    eight = np.round(255 * pixels).astype(np.uint8)
    picture = Image.fromarray(eight[..., 0] if eight.shape[-1] == 1 else eight, {2: "LA"}.get(eight.shape[-1]))
    options: dict[str, Any] = {"icc_profile": icc, "exif": origin.exif or None, "dpi": origin.dpi}
    if pillow in ("JPEG", "WEBP", "AVIF"):
        options["quality"] = 95
    if pillow == "JPEG":
        options["subsampling"] = 0
    picture.save(path, pillow, **{key: value for key, value in options.items() if value is not None})


def _whole(pixels: np.ndarray, origin: Origin) -> np.ndarray:
    """16-bit samples; of floating-point files all 16 bits, as they have no such span."""
    low, high = origin.span if origin.bits == 16 else (0.0, 65535.0)
    colours = pixels.shape[-1] - (pixels.shape[-1] in (2, 4))
    samples = np.concatenate([low + pixels[..., :colours] * (high - low), 65535 * pixels[..., colours:]], -1)
    return np.round(samples).clip(0, 65535).astype(np.uint16)


def _png(samples: np.ndarray, icc: bytes | None, origin: Origin) -> bytes:
    """A PNG of (H, W, C) uint16, which Pillow writes of greys only (PNG specification, sections 9 and 11)."""
    height, width, channels = samples.shape
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    up = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # the filter 2: less what is above, modulo 256
    body = np.concatenate([np.full((height, 1), 2, np.uint8), up], 1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if icc:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if origin.exif:
        chunks.append((b"eXIf", origin.exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(body, 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _tiff(pixels: np.ndarray, path: Path, icc: bytes | None, origin: Origin, bits: int) -> None:
    import tifffile

    channels = pixels.shape[-1]
    low, high = origin.span
    samples = _whole(pixels, origin) if bits == 16 else (low + pixels * (high - low)).astype(np.float32)
    options: dict[str, Any] = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
    exif = Image.Exif()
    exif.load(origin.exif)
    texts = [(tag, "s", 0, text, True) for tag, text in exif.items() if isinstance(text, str)]
    tifffile.imwrite(
        path,
        samples[..., 0] if channels == 1 else samples,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        compression="zlib",
        iccprofile=icc,
        metadata=None,
        software=False,
        extratags=texts,
        **options,
    )

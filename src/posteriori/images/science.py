"""Pictures of instruments: camera RAW, DICOM and NIfTI, each read by the library of an extra."""

from __future__ import annotations

import gzip
import io
import logging
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.images.span import Span, on_unit, read_span

_ENDINGS = {
    "RAW": (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
    "DICOM": (".dcm", ".dicom"),
    "NIfTI": (".nii", ".nii.gz"),
}
SUFFIXES = tuple(suffix for suffixes in _ENDINGS.values() for suffix in suffixes)


class Found(NamedTuple):
    """``pixels`` (H, W, 1 or 3) float64 on [0, 1], of ``bits`` (32: any numbers), with their (black, white)."""

    pixels: np.ndarray
    notes: tuple[str, ...]
    bits: int
    span: Span


def kind_of(path: str) -> str | None:
    """The key of ``READERS`` for a file of this name; None where Pillow is to read it."""
    return next((kind for kind, endings in _ENDINGS.items() if path.lower().endswith(endings)), None)


def register_heif(path: str) -> None:
    """Has Pillow read HEIC. PosterioriError without the library."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise PosterioriError(f"{path} is HEIC: install posteriori[heif] to read it, or save it as JPEG") from None
    register_heif_opener()


@contextmanager
def silent(logger: str) -> Generator[None]:
    """Without what a library logs of a damaged file, line by line on stderr, before it raises."""
    log = logging.getLogger(logger)
    log.disabled, before = True, log.disabled
    try:
        yield
    finally:
        log.disabled = before


def _raw(data: bytes, path: str, given: str | None) -> Found:
    try:
        import rawpy
    except ImportError:
        raise PosterioriError(f"{path} is camera RAW: install posteriori[raw] to read it") from None
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            developed = raw.postprocess(
                use_camera_wb=True, no_auto_bright=True, output_bps=16, gamma=(2.4, 12.92), user_flip=None
            )
    except rawpy.LibRawError as error:
        raise PosterioriError(f"{path} is damaged or of an unsupported kind ({first_line(error)})") from None
    notes = ("developed to sRGB with the camera's white balance",)
    return Found(developed / 65535, notes, 16, (0.0, 65535.0))


def _dicom(data: bytes, path: str, given: str | None) -> Found:
    try:
        import pydicom
        from pydicom.pixels import apply_modality_lut
    except ImportError:
        raise PosterioriError(f"{path} is DICOM: install posteriori[medical] to read it") from None
    try:
        with warnings.catch_warnings(), silent("pydicom"):
            warnings.simplefilter("ignore")  # of values that break the standard
            dataset = pydicom.dcmread(io.BytesIO(data))
            values = dataset.pixel_array
            if dataset.get("SamplesPerPixel", 1) == 1:
                values = apply_modality_lut(values, dataset)
            window = _window(dataset)
    except Exception as error:  # as decoders do, nearly anything
        raise PosterioriError(f"{path} is damaged or of an unsupported kind ({first_line(error)})") from None
    if dataset.get("SamplesPerPixel", 1) == 3:
        values, notes = _middle(values, 3)
        white = 2.0**dataset.BitsStored - 1
        return Found(values / white, notes, 8 if white <= 255 else 16, (0.0, white))
    values, notes = _middle(np.asarray(values, np.float64), 2)
    if given is None and window:
        span, said = window, "its window"
    else:
        span, said = _span(values, given)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        span = (span[1], span[0])
    return _scaled(values, span, (*notes, _taken(span, said)), 32)


def _window(dataset: Any) -> Span | None:
    """(black, white) of the first window; None without one. ValueError where it holds no numbers."""
    centre, width = (dataset.get(key) for key in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:  # absent, or empty as the standard allows
        return None
    centre, width = (float(np.atleast_1d(value)[0]) for value in (centre, width))
    return centre - width / 2, centre + width / 2


def _nifti(data: bytes, path: str, given: str | None) -> Found:
    try:
        import nibabel
    except ImportError:
        raise PosterioriError(f"{path} is NIfTI: install posteriori[medical] to read it") from None
    try:
        plain = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        with silent("nibabel.global"):
            image: Any = nibabel.Nifti1Image.from_bytes(plain)
            values = np.asarray(image.dataobj, np.float64)
    except Exception as error:  # as decoders do, nearly anything
        raise PosterioriError(f"{path} is damaged or of an unsupported kind ({first_line(error)})") from None
    if values.ndim < 2:
        raise PosterioriError(f"{path} has shape {values.shape}: give a picture or a volume")
    while values.ndim > 3:
        values = values[..., 0]
    axes = (2, 1, 0) if values.ndim == 3 else (1, 0)  # x to the right, y up, z through the slices
    values, notes = _middle(values.transpose(axes), 2)
    values = values[::-1]
    span, said = _span(values, given)
    return _scaled(values, span, (*notes, _taken(span, said)), 32)


def _middle(values: np.ndarray, ndim: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """The middle one of the slices (N, ...) of ``ndim`` axes, and what to say of it; ``values`` where it is one."""
    if values.ndim == ndim:
        return values, ()
    n = len(values)
    return values[n // 2], (f"slice {n // 2 + 1} of {n} was taken",) if n > 1 else ()


def _span(values: np.ndarray, given: str | None) -> tuple[Span, str]:
    if given is not None:
        return read_span(given), "--range"
    low, high = float(values.min()), float(values.max())
    return (low, high if high > low else low + 1), "its least and largest number"


def _taken(span: Span, said: str) -> str:
    return f"{span[0]:g}..{span[1]:g}, {said}, was taken as black to white (--range for another)"


def _scaled(values: np.ndarray, span: Span, notes: tuple[str, ...], bits: int) -> Found:
    if not np.isfinite(values).all():
        raise PosterioriError("the picture holds NaN or infinity: give finite numbers")
    return Found(on_unit(values, span)[..., None], notes, bits, span)


#: how each kind is read: (data, path, "BLACK..WHITE" or None) to what was found
READERS: dict[str, Callable[[bytes, str, str | None], Found]] = {"RAW": _raw, "DICOM": _dicom, "NIfTI": _nifti}

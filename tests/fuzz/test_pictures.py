"""Pictures of every format, damaged anywhere: they are read, and then written again, or refused."""

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from posteriori.images.files import to_tensor
from posteriori.images.picture import read_picture
from posteriori.images.written import write_like
from tests.fuzz.contract import contract, damaged, fuzz

_RNG = np.random.default_rng(0)
COLOURS = Image.fromarray(_RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8))
DEEP = _RNG.integers(0, 65536, (9, 12), dtype=np.uint16)
FLOATS = _RNG.random((9, 12, 3), np.float32)


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def tiff(values: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def exif() -> Image.Exif:
    noted = Image.Exif()
    noted[0x0112], noted[0x010E] = 6, "a picture"
    noted.get_ifd(0x8769)[0x829A] = 0.01
    return noted


def deep_png() -> bytes:
    """16 bits of colours, which Pillow does not write."""
    rows = _RNG.integers(0, 65536, (9, 36), dtype=np.uint16).astype(">u2")
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 12, 9, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(body)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def sums_right(data: bytes) -> bytes:
    """A PNG's chunks with their checksums, so that what was changed in them is read."""
    out, at = [data[:8]], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        out.append(_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join(out) + data[at:]


def dicom(values: np.ndarray, **elements) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    bits = 8 * values.dtype.itemsize
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored = *values.shape[:2], bits, bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    dataset.SamplesPerPixel = 1 if values.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if values.ndim == 2 else "RGB"
    if values.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PixelData = values.tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset)
    return file.getvalue()


@cache
def seeds() -> dict[str, list[bytes]]:
    """Sound pictures by the ending of their names."""
    grey, clear = COLOURS.convert("L"), COLOURS.convert("RGBA")
    clear.putalpha(grey)
    palette = COLOURS.quantize(8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = {"save_all": True, "append_images": [COLOURS.rotate(180)]}
    volume = nibabel.Nifti1Image(FLOATS, np.eye(4)).to_bytes()
    window = {"WindowCenter": 100, "WindowWidth": 50, "RescaleSlope": "2", "RescaleIntercept": "-10"}
    return {
        ".png": [
            saved(COLOURS, "PNG", exif=exif(), icc_profile=profile, dpi=(72, 72)),
            saved(clear, "PNG"),
            saved(palette, "PNG", transparency=3),
            saved(Image.fromarray(DEEP), "PNG"),
            saved(grey.convert("1"), "PNG"),
            deep_png(),
        ],
        ".jpg": [
            saved(COLOURS, "JPEG", exif=exif(), icc_profile=profile, dpi=(72, 72)),
            saved(COLOURS, "JPEG", progressive=True),
            saved(COLOURS.convert("CMYK"), "JPEG"),
            saved(grey, "JPEG"),
        ],
        ".tif": [
            saved(COLOURS, "TIFF", compression="tiff_lzw", exif=exif()),
            saved(Image.fromarray(DEEP), "TIFF"),
            saved(Image.fromarray(FLOATS[..., 0]), "TIFF"),
            saved(grey.convert("1"), "TIFF", compression="group4"),
            tiff(FLOATS, compression="zlib", photometric="rgb"),
            tiff(np.dstack([DEEP] * 3), photometric="rgb"),
        ],
        ".webp": [saved(COLOURS, "WEBP"), saved(clear, "WEBP", lossless=True), saved(COLOURS, "WEBP", **frames)],
        ".gif": [saved(palette, "GIF"), saved(COLOURS, "GIF", **frames)],
        ".avif": [saved(COLOURS, "AVIF", exif=exif()), saved(clear, "AVIF")],
        ".ppm": [
            saved(COLOURS, "PPM"),
            saved(Image.fromarray(DEEP), "PPM"),
            saved(Image.fromarray(FLOATS[..., 0]), "PPM"),
            b"P3 # text\n2 2\n255\n1 2 3 4 5 6 7 8 9 10 11 12\n",
        ],
        ".bmp": [saved(COLOURS, "BMP"), saved(palette, "BMP")],
        ".jp2": [saved(COLOURS, "JPEG2000"), saved(clear, "JPEG2000")],
        ".dcm": [
            dicom(DEEP),
            dicom(DEEP, **window),
            dicom(np.asarray(COLOURS)),
            dicom(DEEP, PhotometricInterpretation="MONOCHROME1"),
        ],
        ".nii": [volume, nibabel.Nifti1Image(DEEP.astype(np.int16), np.eye(4)).to_bytes()],
        ".dng": [tiff(DEEP)],
    }


def read(data: bytes, ending: str, given: str | None) -> None:
    with contract():
        picture = read_picture(data, f"a{ending}", given)
        height, width, channels = picture.pixels.shape
        assert channels == 3
        assert min(height, width) > 0
        assert picture.pixels.dtype in (np.uint8, np.float32)
        assert np.isfinite(picture.pixels).all()
        if height * width < 10**5:
            with TemporaryDirectory() as folder:
                written = write_like(to_tensor(picture.pixels)[0], Path(folder), "b", ending, picture.origin, None)
                assert written.stat().st_size > 0


#: of pictures that Pillow reads, and of those that other libraries read
PILLOW = (".png", ".jpg", ".tif", ".webp", ".gif", ".avif", ".ppm", ".bmp", ".jp2")
OTHERS = (".dcm", ".nii", ".dng")
ranges = st.sampled_from([None, None, None, "0..255", "0..1", "-1..1", "255..0", "0..1e-320", "-1e308..1e308"])


@pytest.mark.parametrize("ending", PILLOW)
@fuzz(data=st.data())
def test_pictures(ending, data):
    found = data.draw(damaged(seeds()[ending], first=150))
    read(sums_right(found) if ending == ".png" and data.draw(st.booleans()) else found, ending, data.draw(ranges))


@pytest.mark.parametrize("ending", OTHERS)
@fuzz(data=st.data())
def test_pictures_of_instruments(ending, data):
    read(data.draw(damaged(seeds()[ending], first=800)), ending, data.draw(ranges))


@pytest.mark.parametrize("ending", [*PILLOW, ".dcm", ".nii"])
def test_what_is_not_damaged_is_read(ending):
    for sound in seeds()[ending]:
        given = "0..65535" if sound in seeds()[".tif"] + seeds()[".ppm"] else None
        assert read_picture(sound, f"a{ending}", given).pixels.shape[2] == 3

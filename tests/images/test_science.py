"""Files of instruments, made here by other programs' writers and read again."""

import gzip
import io
import sys
import warnings

import numpy as np
import pytest

from posteriori.images.picture import read_picture

VALUES = np.add.outer(np.arange(5) * 100, np.arange(7) * 10).astype(np.int16) - 300  # (5, 7), no symmetry
MISSING = {
    "x.dng": ("rawpy", r"x\.dng is camera RAW: install posteriori\[raw\]"),
    "x.dcm": ("pydicom", r"x\.dcm is DICOM: install posteriori\[medical\]"),
    "x.nii.gz": ("nibabel", r"x\.nii\.gz is NIfTI: install posteriori\[medical\]"),
    "x.HEIC": ("pillow_heif", r"x\.HEIC is HEIC: install posteriori\[heif\]"),
}


@pytest.mark.parametrize("name", MISSING)
def test_without_its_library_a_file_is_refused_in_one_line(name, monkeypatch):
    library, said = MISSING[name]
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ValueError, match=f"^{said}") as error:
        read_picture(b"data", name)
    assert "\n" not in str(error.value)


def dicom(values, **more) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dataset = FileDataset(file, {}, file_meta=meta, preamble=bytes(128))
    frames = values.shape[0] if values.ndim == 3 else 1
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.PixelData = values.astype("<i2").tobytes()
    if frames > 1:
        dataset.NumberOfFrames = frames
    for key, value in more.items():
        setattr(dataset, key, value)
    pydicom.dcmwrite(file, dataset)
    return file.getvalue()


def grey(picture) -> np.ndarray:
    assert (picture.pixels == picture.pixels[..., :1]).all()
    return picture.pixels[..., 0]


def test_dicom():
    plain = read_picture(dicom(VALUES), "x.dcm")
    np.testing.assert_allclose(grey(plain), (VALUES + 300) / 460, atol=1e-6)
    assert plain.origin.span == (-300, 160)
    assert "-300..160, its least and largest number, was taken as black to white" in plain.notes[-1]
    window = read_picture(dicom(VALUES, WindowCenter=0, WindowWidth=200), "x.dcm")
    np.testing.assert_allclose(grey(window), (VALUES + 100) / 200, atol=1e-6)
    slope = read_picture(dicom(VALUES, RescaleSlope=2, RescaleIntercept=-1000), "x.dcm", "-1600..-680")
    np.testing.assert_allclose(grey(slope), (VALUES + 300) / 460, atol=1e-6)
    inverted = read_picture(dicom(VALUES, PhotometricInterpretation="MONOCHROME1"), "x.dcm")
    np.testing.assert_allclose(grey(inverted), 1 - (VALUES + 300) / 460, atol=1e-6)
    frames = read_picture(dicom(np.stack([0 * VALUES, VALUES, VALUES // 2])), "x.dcm")
    np.testing.assert_allclose(grey(frames), (VALUES + 300) / 460, atol=1e-6)
    assert frames.notes[0] == "slice 2 of 3 was taken"


def test_nifti():
    nibabel = pytest.importorskip("nibabel")
    volume = np.stack([0 * VALUES, VALUES, VALUES // 2], -1)
    for values, notes in ((VALUES, 1), (volume, 2), (np.stack([volume, 0 * volume], -1), 2)):
        image = nibabel.Nifti1Image(values, np.eye(4))
        for data, name in ((image.to_bytes(), "x.nii"), (gzip.compress(image.to_bytes()), "x.nii.gz")):
            picture = read_picture(data, name)
            np.testing.assert_allclose(grey(picture), (VALUES.T[::-1] + 300) / 460, atol=1e-6)  # x right, y up
            assert len(picture.notes) == notes


def test_raw():
    """A mosaic as a camera has it, in Adobe's open format."""
    pytest.importorskip("rawpy")
    tifffile = pytest.importorskip("tifffile")
    ramp = (2000 + 100 * np.arange(96) + np.zeros((64, 1))).astype(np.uint16)
    one = (10000, 10000)
    tags = [
        *((50706, 1, 4, bytes([1, 4, 0, 0]), True), (50707, 1, 4, bytes([1, 1, 0, 0]), True)),
        *((50708, 2, None, "Test", True), (271, 2, None, "Make", True), (272, 2, None, "Model", True)),
        *((33421, 3, 2, (2, 2), True), (33422, 1, 4, bytes([0, 1, 1, 2]), True)),
        *((50714, 3, 1, 0, True), (50717, 3, 1, 16383, True), (50778, 3, 1, 21, True), (50728, 5, 3, one * 3, True)),
        (50721, 10, 9, tuple(n for i in range(9) for n in (one if i % 4 == 0 else (0, 1))), True),
    ]
    file = io.BytesIO()
    tifffile.imwrite(file, ramp, photometric=32803, metadata=None, extratags=tags)
    picture = read_picture(file.getvalue(), "x.dng")
    assert picture.pixels.shape == (64, 96, 3)
    assert picture.origin.bits == 16
    linear = ramp / 16383  # and sRGB's curve
    expected = 1.055 * linear ** (1 / 2.4) - 0.055
    middle = np.s_[8:-8, 8:-8]
    assert np.abs(picture.pixels[..., 1][middle] - expected[middle]).max() < 0.02
    assert picture.notes == ("developed to sRGB with the camera's white balance",)


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    from PIL import Image

    pixels = np.tile(np.linspace(40, 200, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(file, quality=90)
    assert np.abs(read_picture(file.getvalue(), "x.heic").pixels.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize(
    ("name", "library"), [("x.dcm", "pydicom"), ("x.nii", "nibabel"), ("x.cr2", "rawpy"), ("x.heic", "pillow_heif")]
)
def test_damaged_files_are_refused_in_one_line(name, library):
    pytest.importorskip(library)
    for data in (b"", b"nothing of the kind" * 40):
        with warnings.catch_warnings(), pytest.raises(ValueError, match=rf"^{name} is ") as error:
            read_picture(data, name)
        assert "\n" not in str(error.value)

"""What long campaigns found, each in its smallest form."""

import io
import zipfile
from contextlib import chdir

import numpy as np
import pytest
import torch

from posteriori.errors import PosterioriError
from posteriori.images.picture import read_picture
from posteriori.operators import Blur
from posteriori.restore.scale import rescaled
from posteriori.settings.text import parse_operator
from posteriori.training.data import list_names
from tests.fuzz.test_pictures import COLOURS, DEEP, FLOATS, dicom, saved, seeds, tiff


def test_a_kernel_whose_sum_is_no_number():
    kernel = np.full((2, 2), 1e308)
    assert np.array_equal(Blur((1, 8, 8), kernel).weights, np.full((2, 2), 0.25))


def test_a_picture_whose_head_raises(tmp_path):
    pytest.importorskip("gradio", reason="gradio is not installed: posteriori[web] has it")
    from posteriori.web.tasks import Look

    (tmp_path / "a.avif").write_bytes(saved(COLOURS, "AVIF").replace(b"av01", b"ab01"))
    with chdir(tmp_path), pytest.raises(PosterioriError, match=r"a\.avif is damaged or of an unsupported kind"):
        Look(str(tmp_path), "a.avif", 10**6).do(lambda *_: None)


def test_lines_without_end():
    with pytest.raises(PosterioriError, match="count is 2754997: give a whole number from 1 up to 10000"):
        parse_operator("line-mask(count=2754997)", (3, 32, 32))


def test_what_libraries_log_of_damaged_files_is_not_printed(capfd):
    """Before the one line that says what is wrong."""
    volume = bytearray(seeds()[".nii"][0])
    volume[70] = 0xFF
    for data, name in ((bytes(volume), "a.nii"), (tiff(FLOATS, photometric="rgb")[:20], "a.tif")):
        with pytest.raises(PosterioriError, match="is damaged or of an unsupported kind"):
            read_picture(data, name)
    assert capfd.readouterr().err == ""


def test_a_window_that_is_no_number():
    sound = dicom(DEEP, WindowCenter=100.0, WindowWidth=50.0)
    assert "75..125, its window, was taken" in read_picture(sound, "a.dcm").notes[0]
    with pytest.raises(PosterioriError, match=r"a\.dcm is damaged or of an unsupported kind"):
        read_picture(sound.replace(b"100.0 ", b"10x.0 "), "a.dcm")
    empty = dicom(DEEP, WindowCenter=None, WindowWidth=None)
    assert "its least and largest number" in read_picture(empty, "a.dcm").notes[0]


def test_a_measurement_that_its_range_takes_to_infinity():
    with pytest.raises(PosterioriError, match=r"goes from 0 to 3e\+38, too far beyond --range 0\.\.255: give"):
        rescaled(torch.tensor([0.0, 3e38]), "0..255")


@pytest.mark.parametrize(("at", "byte"), [(0, b"X"), (6, b"\xff")])
def test_a_zip_whose_directory_is_damaged(tmp_path, at, byte):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", saved(COLOURS, "PNG"))
    data = bytearray(file.getvalue())
    at += data.index(b"PK\1\2")
    data[at : at + 1] = byte
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(PosterioriError, match=r"a\.zip is damaged \(.*\): get it again"):
        list_names(tmp_path / "a.zip")

"""What long campaigns found, each in its smallest form."""

import io
import itertools
import struct
import zipfile
from contextlib import chdir
from importlib import resources

import numpy as np
import pytest
import torch

from posteriori.diagnosis.jpeg import find_jpeg
from posteriori.errors import MOST, PosterioriError
from posteriori.files import read_json
from posteriori.images.picture import read_picture
from posteriori.jobs.memory import read_size
from posteriori.jobs.progress import seconds_taken
from posteriori.operators import Blur
from posteriori.restore.inputs import Source, size_of
from posteriori.restore.scale import rescaled
from posteriori.settings.text import parse_operator
from posteriori.studies.suite import suite
from posteriori.training.data import list_names, load_images
from tests.fuzz.contract import contract
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


@pytest.mark.parametrize("digits", [300, 1000])
def test_a_size_of_more_digits_than_a_number_has(digits):
    with contract():
        read_size("9" * digits + "T")


def test_lines_without_end():
    with pytest.raises(PosterioriError, match="count is 2754997: give a whole number from 1 up to 10000"):
        parse_operator("line-mask(count=2754997)", (3, 32, 32))


def test_what_libraries_log_of_damaged_files_is_not_printed(capfd):
    """Before the one line that says what is wrong."""
    volume = bytearray(seeds()[".nii"][0])
    volume[70] = 0xFF
    nine = tiff(FLOATS, photometric="rgb").replace(
        struct.pack("<HHIH", 277, 3, 1, 3), struct.pack("<HHIH", 277, 3, 1, 9)
    )
    cut = tiff(FLOATS, photometric="rgb")[:20]
    for data, name in ((bytes(volume), "a.nii"), (cut, "a.tif"), (nine, "a.tif")):
        with pytest.raises(PosterioriError, match=r"is (damaged or of an unsupported kind|not a picture)"):
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


def test_a_zip_of_few_bytes_with_a_picture_of_many(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(2**21))
    monkeypatch.setattr("posteriori.images.files.MOST", 2**20)
    with pytest.raises(PosterioriError, match=r"a\.zip/a\.png has more than .* GiB, which no picture has"):
        load_images(tmp_path / "a.zip", ["a.png"], 8)


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


def test_metadata_that_ends_too_early(tmp_path):
    """Pillow's warnings about it, which are errors here, are not printed over pixels that are sound."""
    tags = struct.pack("<H", 600) + struct.pack("<HHII", 0x0112, 3, 2**32 - 1, 8) * 500
    (tmp_path / "a.jpg").write_bytes(saved(COLOURS, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + tags))
    assert size_of(Source(str(tmp_path / "a.jpg"), "a")) == (9, 12)
    assert find_jpeg((tmp_path / "a.jpg").read_bytes()) is not None


DEEP_LIST = "[" * 10**5


def test_json_and_toml_nested_without_end(tmp_path):
    (tmp_path / "a.json").write_text(DEEP_LIST)
    with pytest.raises(PosterioriError, match=r"a\.json is not JSON \(it is nested too deep\)"):
        read_json(tmp_path / "a.json")
    assert seconds_taken(tmp_path / "a.json") == {}
    parts, tables = '. "b"' * 10**4, "{a=" * 10**4
    for text in (f"about = {DEEP_LIST}", f"a{parts} = 1", f"[a{parts}]", f"about = {tables}"):
        (tmp_path / "a.toml").write_text(text)
        with contract(), pytest.raises(PosterioriError, match=r"a\.toml is nested too deep"):
            suite.read(str(tmp_path / "a.toml"))


def test_a_suite_of_ten_megabytes(tmp_path):
    (tmp_path / "a.toml").write_text("# " + 10**7 * "a")
    with pytest.raises(PosterioriError, match=r"a\.toml is 10,000,002 bytes: a suite has at most 1,000,000"):
        suite.read(str(tmp_path / "a.toml"))


def test_a_suite_with_two_tasks_of_one_name(tmp_path):
    text = resources.files("posteriori.studies.suite").joinpath("suites", "smoke.toml").read_text("utf-8")
    task = text[text.index("[[task]]") : text.index("[[", text.index("[[task]]") + 8)]
    (tmp_path / "a.toml").write_text(text + "\n" + task)
    with pytest.raises(PosterioriError, match=r"a has 2 tasks '.*': give each a name of its own"):
        suite.read(str(tmp_path / "a.toml"))


def test_a_message_that_quotes_a_file_is_no_longer_than_a_screen(tmp_path):
    (tmp_path / "a.toml").write_text(f"{'k' * 10**5} = 1")
    with pytest.raises(PosterioriError) as raised:
        suite.read(str(tmp_path / "a.toml"))
    assert len(str(raised.value)) < 2 * MOST
    assert str(raised.value).endswith("published")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_a_tiff_is_read_as_it_is_or_refused(kind, compression):
    """Of Pillow's kinds some came out striped, dark or wrapped around."""
    colours = np.asarray(COLOURS) / 255
    read = []
    for order, planes, channels in itertools.product("<>", ("contig", "separate"), (1, 3, 4)):
        x = np.dstack([colours, np.ones((9, 12))])[..., :channels]
        white = 1 if kind[0] == "f" else np.iinfo(kind).max
        samples = (x * white).astype(kind)
        options = {
            "byteorder": order,
            "compression": compression,
            "photometric": "rgb" if channels > 1 else "minisblack",
        }
        if channels > 1:
            samples = np.moveaxis(samples, 2, 0) if planes == "separate" else samples
            options["planarconfig"] = planes
        if channels == 4:
            options["extrasamples"] = ["unassalpha"]
        data = tiff(samples.squeeze(-1) if channels == 1 else samples, **options)
        try:
            found = read_picture(data, "a.tif", None if kind in ("u1", "i1", "f4", "f8") else f"0..{white}")
        except PosterioriError:
            continue
        read.append(channels)
        np.testing.assert_allclose(found.unit, np.broadcast_to(x[..., :3], (9, 12, 3)), atol=1 / 127)
    assert kind in ("i1", "u4", "f8") or 1 in read

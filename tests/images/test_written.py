"""A result in its file's own format: what comes back from each."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from posteriori.images.files import to_tensor
from posteriori.images.picture import Origin, read_picture
from posteriori.images.written import write_like
from tests.images.test_files import ADOBE, RGB, encoded, png, profile, raw_tiff, turned

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (5, 7, 3)).astype(np.uint16)
DEEP_PNG = png(7, 5, 16, 2, tuple(row.astype(">u2").tobytes() for row in DEEP))


def again(data, folder, suffix, kind=None, stem="x"):
    """The path that the picture in ``data`` is written to as it is, and both pictures."""
    picture = read_picture(data, f"x{suffix}")
    x = to_tensor(picture.pixels)[0]
    path = write_like(x, folder, stem, suffix, picture.origin, kind)
    return path, picture, read_picture(path.read_bytes(), path)


def opened(path):
    return Image.open(io.BytesIO(path.read_bytes()))


LOSSLESS = {
    "RGB": (encoded(Image.fromarray(RGB), "PNG"), ".png"),
    "grey": (encoded(Image.fromarray(RGB[..., 0]), "PNG"), ".png"),
    "16-bit RGB": (DEEP_PNG, ".png"),
    "16-bit grey": (png(7, 5, 16, 0, tuple(row.astype(">u2").tobytes() for row in DEEP[..., 0])), ".png"),
    "16-bit TIFF": (raw_tiff(16, 2, DEEP.astype("<u2").tobytes(), 7, 5), ".tif"),
    "16-bit grey TIFF": (encoded(Image.fromarray(DEEP[..., 0]), "TIFF"), ".tiff"),
    "12 bits in 16": (encoded(Image.fromarray(DEEP[..., 0] // 16), "TIFF"), ".tif"),
    "float TIFF": (encoded(Image.fromarray((DEEP[..., 0] / 65535).astype(np.float32)), "TIFF"), ".tif"),
    "BMP": (encoded(Image.fromarray(RGB), "BMP"), ".bmp"),
    "PPM": (encoded(Image.fromarray(RGB), "PPM"), ".ppm"),
    "RGBA": (
        encoded(Image.fromarray(np.dstack([RGB, np.where(RGB[..., 0] > 99, 255, 0)]).astype("u1")), "PNG"),
        ".png",
    ),
}


@pytest.mark.parametrize(("data", "suffix"), LOSSLESS.values(), ids=LOSSLESS)
def test_what_nothing_was_done_to_comes_back_as_it_was(tmp_path, data, suffix):
    path, before, after = again(data, tmp_path, suffix)
    assert path.name == f"x{suffix}"
    np.testing.assert_allclose(after.unit, before.unit, atol=1e-6)
    for field in ("format", "bits", "span"):
        assert getattr(after.origin, field) == getattr(before.origin, field)
    assert Image.open(io.BytesIO(data)).mode == opened(path).mode
    if before.origin.alpha is not None:
        assert np.array_equal(after.origin.alpha, before.origin.alpha)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("JPEG", ".jfif"), ("WEBP", ".webp"), ("AVIF", ".avif"), ("JPEG2000", ".jp2")]
)
def test_formats_that_lose_keep_their_name_and_stay_close(tmp_path, kind, suffix):
    path, before, after = again(encoded(Image.fromarray(RGB), kind), tmp_path, suffix)
    assert path.suffix == suffix
    assert after.origin.format == kind
    assert np.abs(after.unit - before.unit).mean() < 0.02


def test_sixteen_bits_are_read_and_written_whole(tmp_path):
    path, before, _ = again(DEEP_PNG, tmp_path, ".png")
    assert np.array_equal(np.round(before.unit * 65535), DEEP)
    assert np.array_equal(np.round(read_picture(path.read_bytes(), path).unit * 65535), DEEP)
    tifffile = pytest.importorskip("tifffile")
    path, *_ = again(DEEP_PNG, tmp_path, ".png", "tiff")
    assert np.array_equal(tifffile.imread(path), DEEP)


@pytest.mark.parametrize("most", [255, 1023, 4095])
def test_few_bits_among_sixteen_are_not_black(tmp_path, most):
    values = np.linspace(0, most, 24).round().astype(np.uint16).reshape(4, 6)
    data = encoded(Image.fromarray(values), "TIFF")
    path, before, _ = again(data, tmp_path, ".tif")
    np.testing.assert_allclose(before.unit[..., 0], values / most, atol=1e-6)
    assert f"0..{most} was taken as black to white" in before.notes[0]
    assert np.array_equal(np.asarray(opened(path)), values), "in the file's own numbers again"
    full = read_picture(data, "x.tif", "0..65535")
    np.testing.assert_allclose(full.unit[..., 0], values / 65535, atol=1e-6)
    assert read_picture(encoded(Image.fromarray(np.zeros((2, 2), np.uint16)), "TIFF"), "x.tif").unit.max() == 0


def test_numbers_without_a_white_need_a_range():
    counts = np.float32([[0, 500], [1000, 250]])
    for values in (counts, counts.astype(np.int32)):
        data = encoded(Image.fromarray(values), "TIFF")
        with pytest.raises(
            ValueError, match=r"^x\.tif has 32-bit samples from 0 to 1000, .* name black .* --range"
        ) as error:
            read_picture(data, "x.tif")
        assert "\n" not in str(error.value)
        np.testing.assert_allclose(read_picture(data, "x.tif", "0..1000").unit[..., 0], counts / 1000, atol=1e-6)
    with pytest.raises(ValueError, match=r"--range is 'a': give black and white"):
        read_picture(data, "x.tif", "a")


def test_exif_stays_but_for_the_turn_that_was_made(tmp_path):
    exif = turned(6)
    exif[0x010F] = "a camera"
    for kind, suffix in (("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp")):
        path, before, after = again(encoded(Image.fromarray(RGB), kind, exif=exif), tmp_path, suffix)
        assert before.pixels.shape == after.pixels.shape == (24, 16, 3)
        kept = opened(path).getexif()
        assert kept[0x010F] == "a camera"
        assert kept.get(0x0112, 1) == 1
    for pixels in (RGB, DEEP[..., 0]):  # a TIFF's tags are its layout too, which is the new file's own
        path, *_ = again(encoded(Image.fromarray(pixels), "TIFF", exif=exif), tmp_path, ".tif")
        kept = opened(path).getexif()
        assert kept[0x010F] == "a camera"
        assert kept.get(0x0112, 1) == 1
        path.unlink()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_is_kept_and_the_colours_are_the_same_to_see(tmp_path, mode):
    icc = profile(*ADOBE)
    pixels = (RNG.integers(90, 160, (8, 8, 1)) + RNG.integers(-20, 20, (8, 8, 3))).astype(np.uint8)  # which sRGB has
    picture = Image.fromarray(pixels).convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(np.tile(np.uint8([255, 128]), (8, 4))))
    path, before, after = again(encoded(picture, "PNG", icc_profile=icc), tmp_path, ".png")
    assert before.origin.converted
    written = opened(path)
    assert written.info["icc_profile"] == icc
    assert written.mode == mode
    off = np.abs(np.asarray(written, float) - np.asarray(picture, float))
    assert off[:, ::2].max() <= 4
    assert off.max() <= 8, "of what lay over white by half"
    assert np.abs(after.unit - before.unit).max() <= 3 / 255


def test_a_deep_picture_keeps_its_profile_as_it_is(tmp_path):
    icc = profile(*ADOBE)
    x = to_tensor((DEEP / 65535).astype(np.float32))[0]
    path = write_like(x, tmp_path, "x", ".png", Origin("PNG", 16, (0, 65535), icc=icc), None)
    picture = read_picture(path.read_bytes(), path)
    assert picture.origin.icc == icc
    assert not picture.origin.converted
    assert np.array_equal(np.round(picture.unit * 65535), DEEP)
    assert "its colour profile is kept, and its samples are taken as they are" in picture.notes
    assert ImageCms.ImageCmsProfile(io.BytesIO(picture.origin.icc))


def test_a_name_that_is_taken_is_no_file_s_end(tmp_path):
    (tmp_path / "restored.png").write_text("the picture to look at")
    path, *_ = again(DEEP_PNG, tmp_path, ".png", stem="restored")
    assert path.name == "restored-restored.png"
    assert (tmp_path / "restored.png").read_text() == "the picture to look at"


def test_another_format_is_written_where_it_is_asked_for_or_the_own_has_no_writer(tmp_path):
    path, *_ = again(DEEP_PNG, tmp_path, ".png", "jpeg")
    assert path.name == "x.jpg"
    path, *_ = again(encoded(Image.fromarray(RGB).convert("P"), "GIF"), tmp_path, ".gif")
    assert path.name == "x.png"
    x = torch.linspace(-1, 1, 12).reshape(3, 2, 2)
    path = write_like(x, tmp_path, "y", ".npy", Origin("NPY", 32, (0, 255)), None)
    np.testing.assert_allclose(np.load(path), (x.numpy() + 1) * 127.5, atol=1e-4)


def test_half_clear_pixels_are_written_as_they_were(tmp_path):
    layer = np.dstack([RGB, np.tile(np.linspace(40, 255, 24).astype(np.uint8), (16, 1))])
    path, *_ = again(encoded(Image.fromarray(layer), "PNG"), tmp_path, ".png")
    written = np.asarray(opened(path)).astype(int)
    assert np.array_equal(written[..., 3], layer[..., 3])
    assert np.abs(written[..., :3] - layer[..., :3]).max() <= 3, "rounding over white, undone at an opacity of a sixth"

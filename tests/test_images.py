import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from posteriori.images import BUNDLED, load_image, save_image, to_uint8

RAMP = np.stack(np.meshgrid(np.arange(0, 240, 10), np.arange(0, 160, 10)), -1).astype(np.uint8)
RGB = np.concatenate([RAMP, np.full_like(RAMP[..., :1], 77)], -1)  # (16, 24, 3), no symmetry


def pixels(x: torch.Tensor) -> np.ndarray:
    assert x.dtype == torch.float32
    assert x.shape[:2] == (1, 3)
    assert x.is_contiguous()
    return to_uint8(x)


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("size", [None, 64, 256])
def test_bundled(name, size):
    x = load_image(name, size)
    assert x.shape == (1, 3, size, size) if size else x.shape[2] >= 174
    assert x.min() >= -1
    assert x.max() <= 1
    assert x.std() > 0.2


@settings(max_examples=30, deadline=None)
@given(
    h=st.integers(1, 9), w=st.integers(1, 9), suffix=st.sampled_from([".png", ".bmp", ".tif", ".PNG"]), data=st.data()
)
def test_round_trip(tmp_path_factory, h, w, suffix, data):
    path = tmp_path_factory.mktemp("round") / f"x{suffix}"
    expected = np.frombuffer(data.draw(st.binary(min_size=3 * h * w, max_size=3 * h * w)), np.uint8).reshape(h, w, 3)
    x = torch.from_numpy(expected.copy()).permute(2, 0, 1) / 127.5 - 1
    save_image(x, path)
    assert np.array_equal(pixels(load_image(path)), expected)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_stay_close(tmp_path, suffix):
    x = load_image("astronaut", 64)
    save_image(x, tmp_path / f"x{suffix}")
    assert (load_image(tmp_path / f"x{suffix}") - x).abs().mean() < 0.05


def test_to_uint8_clamps_and_rounds():
    x = torch.tensor([-9.0, -1.0, -0.999, 0.0, 0.5, 1.0, 9.0]).expand(3, 1, 7)
    assert to_uint8(x)[0, :, 0].tolist() == [0, 0, 0, 128, 191, 255, 255]
    assert to_uint8(x.clone().requires_grad_()).shape == (1, 7, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / "x.png", exif=exif)
    turned = [
        None,
        "FLIP_LEFT_RIGHT",
        "ROTATE_180",
        "FLIP_TOP_BOTTOM",
        "TRANSPOSE",
        "ROTATE_270",
        "TRANSVERSE",
        "ROTATE_90",
    ]
    name = turned[orientation - 1]
    expected = Image.fromarray(RGB).transpose(Image.Transpose[name]) if name else Image.fromarray(RGB)
    assert np.array_equal(pixels(load_image(tmp_path / "x.png")), np.asarray(expected))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_is_scaled(tmp_path, suffix):
    grey = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / f"x{suffix}")
    assert pixels(load_image(tmp_path / f"x{suffix}"))[0, :, 1].tolist() == [0, 0, 1, 1, 128, 255]


def test_palette_grey_and_bilevel(tmp_path):
    picture = Image.fromarray(RGB)
    for mode in ("P", "L", "1", "LA"):
        picture.convert(mode).save(tmp_path / "x.png")
        assert np.array_equal(pixels(load_image(tmp_path / "x.png")), np.asarray(picture.convert(mode).convert("RGB")))


def test_transparency_lies_over_white(tmp_path):
    clear = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(clear).save(tmp_path / "x.png")
    assert pixels(load_image(tmp_path / "x.png"))[0].tolist() == [[255] * 3, [10, 20, 30], [204] * 3]
    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 0, 0, 0, 200, 0])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "p.png", transparency=0)
    assert pixels(load_image(tmp_path / "p.png"))[0].tolist() == [[255] * 3, [0, 200, 0]]


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=100)
    red, green, blue = pixels(load_image(tmp_path / "x.jpg"))[4, 4]
    assert red > 250
    assert green < 5
    assert blue < 5


def test_centre_square_then_lanczos(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "x.png")
    square = Image.fromarray(RGB[:, 4:20])
    for size in (1, 7, 16, 40):
        expected = np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
        assert np.array_equal(pixels(load_image(tmp_path / "x.png", size)), expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    save_image(load_image("chelsea", 64), path)
    whole = path.read_bytes()
    for keep in (0.05, 0.5, 0.9):
        path.write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(ValueError, match=f"x{suffix} is .*: give a PNG, JPEG") as caught:
            load_image(path)
        assert "\n" not in str(caught.value)


def png_of(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [11_000, 60_000])
def test_decompression_bomb(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png_of(side, side))
    with pytest.raises(ValueError, match=r"bomb\.png declares more than"):
        load_image(tmp_path / "bomb.png")


def test_not_pictures(tmp_path):
    for name, data, problem in (("empty.png", b"", "is empty"), ("text.png", b"hello" * 99, "is not a picture")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f"{name} {problem}: give a PNG"):
            load_image(tmp_path / name)
    gif = io.BytesIO()
    Image.new("L", (4, 4)).save(gif, "GIF")
    (tmp_path / "x.gif").write_bytes(gif.getvalue())
    with pytest.raises(ValueError, match="is not a picture"):
        load_image(tmp_path / "x.gif")
    Image.new("F", (4, 4)).save(tmp_path / "float.tif")
    with pytest.raises(ValueError, match="no stated white"):
        load_image(tmp_path / "float.tif")


def test_missing_or_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.png cannot be read .*or one of astronaut, chelsea, coffee"):
        load_image(tmp_path / "no.png")
    with pytest.raises(OSError, match="cannot be read"):
        load_image(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_image("./astronaut")


def test_refuses_bad_arguments(tmp_path):
    x = torch.zeros(3, 4, 4)
    with pytest.raises(ValueError, match="size is 0"):
        load_image("coffee", 0)
    for bad in (x[0], x[:2], torch.zeros(2, 3, 4, 4)):
        with pytest.raises(ValueError, match="give one image"):
            save_image(bad, tmp_path / "x.png")
    with pytest.raises(ValueError, match="NaN"):
        save_image(x + torch.nan, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"does not end like a picture: take one of \.png"):
        save_image(x, tmp_path / "x.npy")
    assert os.listdir(tmp_path) == []

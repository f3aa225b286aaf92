import io
import os
import struct
import zlib
from datetime import timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from posteriori.images.files import load_image, save_image, to_uint8
from posteriori.images.picture import ACCEPTED, BUNDLED, read_picture
from posteriori.jobs.memory import peak_memory

RAMP = np.stack(np.meshgrid(np.arange(0, 240, 10), np.arange(0, 160, 10)), -1).astype(np.uint8)
RGB = np.concatenate([RAMP, np.full_like(RAMP[..., :1], 77)], -1)  # (16, 24, 3), no symmetry


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, depth: int = 8, colour: int = 2, rows: tuple[bytes, ...] = (), more: bytes = b""
) -> bytes:
    """A PNG of raw ``rows`` after the chunks ``more``: what Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def raw_tiff(bits: int, photometric: int, body: bytes, width: int, height: int = 1) -> bytes:
    """An uncompressed TIFF of one strip, grey or (``photometric`` 2) RGB: what Pillow cannot write."""
    short, long, start, samples = 3, 4, 8 + 2 + 9 * 12 + 4, 3 if photometric == 2 else 1
    entries = (
        *((256, short, 1, width), (257, short, 1, height)),
        (258, short, samples, bits if samples == 1 else start),  # three numbers do not fit into an entry
        *((259, short, 1, 1), (262, short, 1, photometric), (273, long, 1, start + 6)),
        *((277, short, 1, samples), (278, short, 1, height), (279, long, 1, len(body))),
    )
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (
        b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + struct.pack("<3H", *[bits] * 3) + body
    )


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def in_frames(kind: str, **options) -> bytes:
    """RGB and another frame."""
    more = [Image.new("RGB", (24, 16), "blue")]
    return encoded(Image.fromarray(RGB), kind, save_all=True, append_images=more, **options)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


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


@pytest.mark.parametrize("suffix", [".jpg", ".jpe", ".jfif", ".webp"])
def test_lossy_formats_stay_close(tmp_path, suffix):
    x = load_image("astronaut", 64)
    save_image(x, tmp_path / f"x{suffix}")
    assert (load_image(tmp_path / f"x{suffix}") - x).abs().mean() < 0.05


def test_to_uint8_clamps_and_rounds():
    x = torch.tensor([-9.0, -1.0, -0.999, 0.0, 0.5, 1.0, 9.0]).expand(3, 1, 7)
    assert to_uint8(x)[0, :, 0].tolist() == [0, 0, 0, 128, 191, 255, 255]
    assert to_uint8(x.clone().requires_grad_()).shape == (1, 7, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    plain = read_picture(encoded(Image.fromarray(RGB), kind, **options), "x").pixels
    # EXIF says where the first row and the first column of the file belong.
    expected = [
        plain,
        plain[:, ::-1],
        plain[::-1, ::-1],
        plain[::-1],
        plain.swapaxes(0, 1),
        np.rot90(plain, -1),
        plain[::-1, ::-1].swapaxes(0, 1),
        np.rot90(plain),
    ][orientation - 1]
    read = read_picture(encoded(Image.fromarray(RGB), kind, exif=turned(orientation), **options), "x")
    assert np.array_equal(read.pixels, expected)
    assert read.notes == ("turned as its EXIF says",) * (orientation > 1)


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


def test_an_opaque_alpha_channel_is_no_transparency(tmp_path):
    for alpha, notes in ((255, ()), (254, ("transparency was laid over white",))):
        Image.new("RGBA", (3, 2), (10, 20, 30, alpha)).save(tmp_path / "x.png")
        assert read_picture((tmp_path / "x.png").read_bytes(), "x.png").notes == notes


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=100)
    red, green, blue = pixels(load_image(tmp_path / "x.jpg"))[4, 4]
    assert red > 250
    assert green < 5
    assert blue < 5


#: linear RGB to XYZ under D50, and the power of the samples
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]), 563 / 256
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


def profile(matrix: np.ndarray, power: float) -> bytes:
    """An ICC profile of three primaries and a power (ICC.1:2001-04, the least that a display's needs)."""
    fixed = lambda values: struct.pack(f">{len(values)}i", *(round(65536 * v) for v in values))  # noqa: E731
    white = (0.9642, 1.0, 0.8249)
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78), b"cprt": b"text" + bytes(5)}
    tags |= {b"wtpt": b"XYZ " + bytes(4) + fixed(white)}
    for name, column in zip((b"r", b"g", b"b"), matrix.T, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + fixed(column)
        tags[name + b"TRC"] = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(256 * power))
    table, data, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s", start + len(data), 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (head + bytes(68 - len(head)) + fixed(white)).ljust(128, b"\0") + table + data


def test_a_colour_profile_is_brought_to_srgb(tmp_path):
    pixels = np.random.default_rng(0).integers(60, 200, (8, 8, 3)).astype(np.uint8)
    matrix, power = ADOBE
    linear = (pixels / 255.0) ** power @ (np.linalg.inv(SRGB) @ matrix).T
    curve = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055)
    expected = 255 * curve.clip(0, 1)
    data = encoded(Image.fromarray(pixels), "PNG", icc_profile=profile(matrix, power))
    picture = read_picture(data, "x.png")
    assert np.abs(picture.pixels - expected).max() < 2
    assert np.abs(pixels - expected).max() > 20, "the samples themselves say something else"
    assert picture.notes == ("converted from its colour profile to sRGB",)
    half = Image.fromarray(pixels).convert("RGBA")
    half.putalpha(Image.fromarray(np.tile(np.uint8([255, 0]), (8, 4))))
    shown = read_picture(encoded(half, "PNG", icc_profile=profile(matrix, power)), "x.png").pixels
    assert np.array_equal(shown[:, ::2], picture.pixels[:, ::2])
    assert shown[:, 1::2].min() >= 254


@pytest.mark.parametrize("known", ["sRGB", "damaged", "of grey samples"])
def test_a_profile_that_says_nothing_new_changes_nothing(known):
    mode = "L" if known == "of grey samples" else "RGB"
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = {"sRGB": own, "damaged": own[:90], "of grey samples": profile(*ADOBE)}[known]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    with_profile, without = (read_picture(encoded(picture, "PNG", **o), "x") for o in ({"icc_profile": icc}, {}))
    assert np.array_equal(with_profile.pixels, without.pixels)
    assert with_profile.notes == without.notes


def test_centre_square_then_lanczos(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "x.png")
    square = Image.fromarray(RGB[:, 4:20])
    for size in (1, 7, 16, 40):
        expected = np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
        assert np.array_equal(pixels(load_image(tmp_path / "x.png", size)), expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".avif", ".jp2"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    save_image(load_image("chelsea", 64), path)
    whole = path.read_bytes()
    for keep in (0.05, 0.5, 0.9):
        path.write_bytes(whole[: int(keep * len(whole))])
        with pytest.raises(ValueError, match=f"x{suffix} is .*: give a PNG, JPEG") as caught:
            load_image(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [11_000, 60_000])
def test_decompression_bomb(tmp_path, side):
    (tmp_path / "bomb.png").write_bytes(png(side, side))
    with pytest.raises(ValueError, match=r"bomb\.png declares more than"):
        load_image(tmp_path / "bomb.png")


def test_not_pictures(tmp_path):
    for name, data, problem in (("empty.png", b"", "is empty"), ("text.png", b"hello" * 99, "is not a picture")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=f"{name} {problem}: give a PNG"):
            load_image(tmp_path / name)
    Image.new("L", (4, 4)).save(tmp_path / "x.ico")
    with pytest.raises(ValueError, match="is not a picture"):
        load_image(tmp_path / "x.ico")


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


DEEP = np.array([[[0x0100, 0x80FF, 0xFFFF], [0x00FF, 0x7F80, 0xFEFF]]], ">u2")  # (1, 2, 3) 16-bit samples
ROW = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)  # (1, 2, 3), for pictures of two pixels
CLEAR_ROW = np.array([[[255, 255, 255], [4, 5, 6]]])  # its first pixel transparent
REDUCED, OVER_WHITE = "16-bit samples were reduced to 8 bits", "transparency was laid over white"
TWO_FRAMES = "2 frames: the first was taken"
KINDS = {
    "RGB": (encoded(Image.fromarray(RGB), "PNG"), RGB, ()),
    "grey": (encoded(Image.fromarray(RGB[..., 0]), "PNG"), RGB[..., [0, 0, 0]], ()),
    "1 bit": (png(2, 1, 1, 0, (b"\x80",)), [[[255] * 3, [0] * 3]], ()),
    "CMYK": (
        encoded(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), "TIFF"),
        [[[255, 0, 0]]],
        ("converted from CMYK to RGB",),
    ),
    "palette": (
        png(2, 1, 8, 3, (bytes([0, 1]),), chunk(b"PLTE", ROW.tobytes())),
        ROW,
        ("converted from P to RGB",),
    ),
    "palette with transparency": (
        png(2, 1, 8, 3, (bytes([0, 1]),), chunk(b"PLTE", ROW.tobytes()) + chunk(b"tRNS", bytes([0]))),
        CLEAR_ROW,
        (OVER_WHITE, "converted from P to RGB"),
    ),
    "transparent colour": (
        png(2, 1, 8, 2, (ROW.tobytes(),), chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))),
        CLEAR_ROW,
        (OVER_WHITE,),
    ),
    "grey with alpha": (
        png(2, 1, 8, 4, (bytes([8, 0, 8, 255]),)),
        [[[255] * 3, [8] * 3]],
        (OVER_WHITE,),
    ),
    "RGBA": (
        encoded(Image.new("RGBA", (1, 1), (1, 2, 3, 0)), "WEBP", lossless=True, exact=True),
        [[[255] * 3]],
        (OVER_WHITE,),
    ),
    "16-bit grey": (
        png(2, 1, 16, 0, (struct.pack(">HH", 257, 65535),)),
        [[[1] * 3, [255] * 3]],
        (),
    ),
    "16-bit grey TIFF": (
        raw_tiff(16, 1, struct.pack("<HH", 257, 65535), 2),
        [[[1] * 3, [255] * 3]],
        (),
    ),
    "16-bit grey with alpha": (
        png(2, 1, 16, 4, (struct.pack(">HHHH", 0x8000, 0xFFFF, 0x1234, 0),)),
        [[[128] * 3, [255] * 3]],
        (REDUCED, OVER_WHITE),
    ),
    "16-bit RGB TIFF": (raw_tiff(16, 2, DEEP.astype("<u2").tobytes(), 2), np.round(DEEP / 257), ()),
    "16-bit RGB": (png(2, 1, 16, 2, (DEEP.tobytes(),)), np.round(DEEP / 257), ()),
    "animated PNG": (in_frames("PNG"), RGB, (TWO_FRAMES,)),
    "animated PNG with a still": (in_frames("PNG", default_image=True), RGB, (TWO_FRAMES,)),
    "animated WebP": (in_frames("WEBP", lossless=True), RGB, (TWO_FRAMES,)),
    "TIFF of pages": (in_frames("TIFF"), RGB, (TWO_FRAMES,)),
    "turned TIFF of pages": (
        in_frames("TIFF", exif=turned(3)),
        RGB[::-1, ::-1],
        (TWO_FRAMES, "turned as its EXIF says"),
    ),
}


@pytest.mark.parametrize(("data", "shown", "notes"), KINDS.values(), ids=KINDS)
def test_notes_say_what_eight_bit_rgb_stands_for(data, shown, notes):
    picture = read_picture(data, "x")
    assert np.array_equal(picture.eight_bits, shown)
    assert picture.notes == notes


@pytest.mark.parametrize(("kind", "options"), [("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_no_width_makes_eight_bits_look_like_sixteen(kind, options):
    for width in range(1, 70):  # lines of 16 and of 160 bytes among them
        assert read_picture(encoded(Image.new("RGB", (width, 3)), kind, **options), "x").notes == ()


def test_damaged_metadata_around_sound_pixels_is_no_matter():
    data = png(2, 1, 8, 2, (ROW.tobytes(),), chunk(b"acTL", bytes(8)))
    with pytest.warns(UserWarning, match="Invalid APNG"):
        Image.open(io.BytesIO(data)).load()
    assert np.array_equal(read_picture(data, "x").pixels, ROW)


MISREAD = {
    "white is zero": (raw_tiff(16, 0, bytes(4), 2), "16-bit samples whose white is zero"),
    "transparent grey": (
        png(1, 1, 16, 0, (bytes(2),), chunk(b"tRNS", bytes(2))),
        "a transparent colour among 16-bit samples",
    ),
    "transparent colour": (
        png(1, 1, 16, 2, (bytes(6),), chunk(b"tRNS", bytes(6))),
        "a transparent colour among 16-bit samples",
    ),
}


@pytest.mark.parametrize(("data", "problem"), MISREAD.values(), ids=MISREAD)
def test_samples_that_would_be_misread_are_refused(data, problem):
    with pytest.raises(
        ValueError, match=rf"^deep is damaged or of an unsupported kind \({problem}; convert it to .*8 "
    ):
        read_picture(data, "deep")


def test_a_bundled_name_is_a_string_and_a_path_never_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="coffee cannot be read"):
        load_image(Path("coffee"))
    Image.fromarray(RGB).save("coffee", "PNG")
    assert load_image("coffee").shape != (1, 3, *RGB.shape[:2])
    for path in ("./coffee", Path("coffee")):
        assert np.array_equal(pixels(load_image(path)), RGB)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read anything")
def test_a_file_without_read_permission(tmp_path):
    (tmp_path / "x.png").write_bytes(encoded(Image.fromarray(RGB), "PNG"))
    (tmp_path / "x.png").chmod(0)
    with pytest.raises(PermissionError, match=r"x\.png cannot be read \(Permission denied\): give a PNG"):
        load_image(tmp_path / "x.png")


def bombs() -> dict[str, bytes]:
    """Small files that declare pictures of gigabytes."""
    side = 60_000
    bitmap = bytearray(encoded(Image.new("RGB", (4, 4)), "BMP"))
    bitmap[18:26] = struct.pack("<ii", side, side)
    jpeg = bytearray(encoded(Image.new("RGB", (4, 4)), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    webp = bytearray(in_frames("WEBP"))
    canvas = webp.index(b"VP8X") + 12
    webp[canvas : canvas + 6] = (side - 1).to_bytes(3, "little") * 2
    tiff = raw_tiff(8, 1, bytes(9), side, side)
    return {"png": png(side, side), "bmp": bytes(bitmap), "jpeg": bytes(jpeg), "webp": bytes(webp), "tiff": tiff}


@pytest.mark.parametrize("kind", ["png", "bmp", "jpeg", "webp", "tiff"])
def test_what_declares_gigabytes_costs_none(kind):
    before = peak_memory(torch.device("cpu"))
    with pytest.raises(ValueError, match=r"bomb (declares more than \d+ pixels|is damaged|is not a picture)"):
        read_picture(bombs()[kind], "bomb")
    assert peak_memory(torch.device("cpu")) - before < 100 * 2**20


def small_files() -> list[bytes]:
    """One of every kind that is read, with the parts that cameras and programs add."""
    picture = Image.fromarray(RGB)
    return [
        encoded(picture, "PNG", exif=turned(6), icc_profile=b"profile" * 9),
        encoded(picture.convert("P"), "PNG", transparency=3),
        in_frames("PNG"),
        png(2, 1, 16, 2, (DEEP.tobytes(),), chunk(b"tEXt", b"Comment\0text") + chunk(b"iTXt", b"a\0\0\0\0\0text")),
        png(2, 1, 16, 0, (bytes(4),), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"text"))),
        encoded(picture, "JPEG", exif=turned(5), icc_profile=b"profile" * 9, comment=b"comment"),
        encoded(picture, "JPEG", progressive=True),
        in_frames("MPO"),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(picture, "WEBP", lossless=True, exif=turned(3)),
        encoded(picture.convert("RGBA"), "WEBP", quality=50),
        in_frames("WEBP"),
        encoded(picture, "TIFF", exif=turned(8)),
        in_frames("TIFF"),
        *(
            encoded(picture, "TIFF", compression=kind)
            for kind in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")
        ),
        encoded(picture.convert("1"), "TIFF", compression="group4"),
        encoded(Image.fromarray(DEEP[..., 0].astype(np.uint16)), "TIFF"),
        encoded(picture, "BMP"),
        encoded(picture.convert("P"), "BMP"),
        encoded(picture.convert("RGBA"), "BMP"),
    ]


def with_sound_checksums(data: bytes) -> bytes:
    """A damaged PNG whose checksums are right again: without, nearly all damage would end at the first of them."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        end = min(at + 8 + int.from_bytes(data[at : at + 4], "big"), len(data) - 4)
        out += data[at:end] + struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(out + data[at:])


FILES = small_files()


@st.composite
def damaged(draw):
    """A picture's file with bytes flipped, cut off, put in, taken out and repeated."""
    data = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted(draw(st.integers(0, len(data))) for _ in range(2))
        match draw(st.sampled_from(["flip", "cut", "insert", "remove", "repeat"])):
            case "flip":
                data[at : at + 1] = bytes(byte ^ draw(st.integers(1, 255)) for byte in data[at : at + 1])
            case "cut":
                del data[end:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=12))
            case "remove":
                del data[at : min(end, at + 64)]
            case "repeat":
                data[at:at] = data[at:end]
    if data.startswith(b"\x89PNG\r\n\x1a\n") and draw(st.booleans()):
        return with_sound_checksums(bytes(data))
    return bytes(data)


@settings(max_examples=600, deadline=timedelta(seconds=20), derandomize=True, database=None)
@given(data=st.one_of(damaged(), st.binary(max_size=300)))
def test_a_damaged_picture_is_read_or_refused_in_one_line(data):
    # A flipped size can be one that is read, and slow.
    with mock.patch.object(Image, "MAX_IMAGE_PIXELS", 10**6):
        try:
            picture = read_picture(data, "some/x.png")
        except ValueError as error:
            message = str(error)
            assert message.startswith("some/x.png ")
            assert message.endswith((f": {ACCEPTED}", "name black and white with --range, like 0..255"))
            assert len(message.splitlines()) == 1
            assert len(message) < 400
        else:
            assert picture.pixels.dtype in (np.uint8, np.float32)
            assert picture.pixels.ndim == 3
            assert picture.pixels.shape[2] == 3
            assert picture.pixels.size > 0


def test_the_files_to_damage_are_sound():
    for data in FILES:
        assert read_picture(data, "x").pixels.shape in {(16, 24, 3), (24, 16, 3), (1, 2, 3)}


def test_floating_point_colours_of_a_tiff_are_kept():
    tifffile = pytest.importorskip("tifffile")
    pixels = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb")
    picture = read_picture(file.getvalue(), "x.tif")
    assert np.array_equal(picture.pixels, pixels)
    assert (picture.origin.format, picture.origin.bits, picture.origin.span) == ("TIFF", 32, (0.0, 1.0))
    assert picture.notes == ("floating-point samples: 0..1 was taken as black to white",)
    picture = read_picture(file.getvalue(), "x.tif", "0..2")
    np.testing.assert_allclose(picture.pixels, pixels / 2, rtol=1e-6)

"""What JPEG changed, by its file."""

import io

import numpy as np
import pytest
from PIL import Image

from posteriori.diagnosis.jpeg import find_jpeg
from posteriori.images.files import load_image, to_tensor, to_uint8


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
@pytest.mark.parametrize("quality", [10, 30, 75, 95])
def test_the_quality_and_what_it_changed(name, quality):
    """The rms of what Pillow's encoder changes in luminance, within a factor of 1.6."""
    pixels = to_uint8(load_image(name)[..., :320, :320])
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    found = find_jpeg(file.getvalue())
    with Image.open(file) as picture:
        decoded = np.asarray(picture.convert("L"), float)
    changed = np.sqrt(np.square(decoded - np.asarray(Image.fromarray(pixels).convert("L"), float)).mean()) / 127.5
    assert found is not None
    assert found.quality == quality
    assert 1 / 1.6 < found.sigma / changed < 1.6


@pytest.mark.parametrize("quality", [10, 40, 74])
def test_what_the_operator_made_is_told_from_what_it_did_not(quality):
    def found(pixels, **how):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, **how)
        jpeg = find_jpeg(file.getvalue())
        assert jpeg is not None
        return jpeg, to_tensor(np.array(Image.open(file).convert("RGB")))

    pixels = to_uint8(load_image("chelsea")[..., :250, :203])
    jpeg, x = found(pixels)
    assert jpeg.made(x)
    assert not jpeg.made(x.flip(-1, -2))
    assert not jpeg.made(x[..., 3:, 5:])
    for other in (found(pixels, subsampling=0), found(pixels[..., 0]), found(pixels, qtables="web_low")):
        assert not other[0].made(other[1])


def test_other_files_say_nothing():
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "PNG")
    assert find_jpeg(file.getvalue()) is None
    assert find_jpeg(b"no picture") is None


def test_a_plain_picture():
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "JPEG", quality=50)
    found = find_jpeg(file.getvalue())
    assert found is not None
    assert 0 < found.sigma < 0.02

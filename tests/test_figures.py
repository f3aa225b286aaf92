import os

import numpy as np
import pytest
import torch
from PIL import Image

from posteriori.figures import comparison, sheet
from posteriori.images import load_image, to_uint8

FACE = load_image("astronaut", 64)


def read(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def holds(figure: np.ndarray, picture: np.ndarray, top: int, left: int, scale: int) -> bool:
    """Whether ``figure`` shows ``picture`` at (top, left), each pixel a square of ``scale``."""
    h, w = picture.shape[:2]
    shown = figure[top : top + h * scale, left : left + w * scale]
    return np.array_equal(shown, picture.repeat(scale, 0).repeat(scale, 1))


def test_sheet_shows_every_pixel(tmp_path):
    images = torch.cat([FACE, -FACE, FACE.flip(-1)])
    sheet(images, tmp_path / "s.png", columns=2)
    figure = read(tmp_path / "s.png")
    assert figure.shape == (3 * 10 + 2 * 192, 3 * 10 + 2 * 192, 3)
    for image, (top, left) in zip(images, [(10, 10), (10, 212), (212, 10)], strict=True):
        assert holds(figure, to_uint8(image), top, left, 3)


@pytest.mark.parametrize(("size", "shown"), [(16, 192), (128, 256), (256, 256)])
def test_sheet_enlarges_to_about_192_pixels(tmp_path, size, shown):
    sheet(load_image("coffee", size), tmp_path / "s.png", labels=["one"])
    assert read(tmp_path / "s.png").shape == (shown + 40, shown + 20, 3)


def test_comparison_shows_pictures_and_details(tmp_path):
    low = torch.nn.functional.avg_pool2d(FACE, 4)
    panels = [("Measurement", low), ("Truth", FACE[0]), ("DPS\n28.8 dB / 0.055", -FACE)]
    comparison(panels, tmp_path / "c.png", title="Super-resolution", zoom=(20, 16, 16, 32))
    figure = read(tmp_path / "c.png")
    first, second = figure.shape[0] - 20 - 96 - 10 - 192, figure.shape[0] - 20 - 96
    assert figure.shape[1] == 2 * 20 + 3 * 192 + 2 * 10
    for left, image in ((222, FACE), (424, -FACE)):
        picture = to_uint8(image)
        assert holds(figure, picture[:18], first, left, 3)
        assert not holds(figure, picture, first, left, 3), "the frame is missing"
        assert holds(figure, picture[20:36, 16:48], second, left, 6)
    assert holds(figure, to_uint8(low)[:4], first, 20, 12)
    assert holds(figure, to_uint8(low)[5:9, 4:12], second, 20, 24)
    comparison(panels, tmp_path / "plain.png", title="A title that is far too long for one line " * 4, zoom=None)
    plain = read(tmp_path / "plain.png")
    assert plain.shape[1] == figure.shape[1]
    assert holds(plain, to_uint8(FACE), plain.shape[0] - 20 - 192, 222, 3)
    margin = plain[:, -20:]
    assert (margin == 255).all(), "text runs over the margin"


def test_errors_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match="give"):
        sheet(FACE[0], tmp_path / "s.png")
    with pytest.raises(ValueError, match="2 labels for 1 images"):
        sheet(FACE, tmp_path / "s.png", labels=["a", "b"])
    with pytest.raises(ValueError, match="NaN"):
        sheet(FACE * torch.nan, tmp_path / "s.png")
    with pytest.raises(ValueError, match="no panels"):
        comparison([], tmp_path / "c.png", title="", zoom=None)
    for zoom in [(60, 0, 8, 8), (-1, 0, 8, 8), (0, 0, 0, 8)]:
        with pytest.raises(ValueError, match="it must lie inside 64 x 64 pixels"):
            comparison([("a", FACE)], tmp_path / "c.png", title="", zoom=zoom)
    with pytest.raises(ValueError, match="ParseFatalException"):  # raised by matplotlib while it draws
        sheet(FACE, tmp_path / "s.png", labels=[r"$\nothing$"])
    assert os.listdir(tmp_path) == []

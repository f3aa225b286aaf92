import os
from unittest import mock

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from posteriori.images.files import load_image, to_uint8
from posteriori.images.sheets import comparison, heat_map, sheet

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
    for bad in (torch.zeros(1, 8, 8), torch.zeros(8)):
        with pytest.raises(ValueError, match=r"got shape \(.*\): give \(H, W\)"):
            heat_map(bad, tmp_path / "h.png", title="", label="")
    with pytest.raises(ValueError, match="NaN"):
        heat_map(torch.full((8, 8), torch.nan), tmp_path / "h.png", title="", label="")

    def half(image, path, form) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("while drawing")

    with mock.patch.object(Image.Image, "save", half), pytest.raises(RuntimeError, match="while drawing"):
        sheet(FACE, tmp_path / "s.png")
    assert os.listdir(tmp_path) == []


def test_names_in_any_script_and_with_any_sign_are_drawn_as_they_are(tmp_path):
    def drawn(title: str) -> bytes:
        comparison([("a", FACE)], tmp_path / "c.png", title=title, zoom=None)
        return (tmp_path / "c.png").read_bytes()

    # Neither a formula that matplotlib would set, or fail to, nor a warning for what its font lacks.
    assert len({drawn(title) for title in ("写真", r"$\nothing$", "")}) == 3


VALUES = 0.317 * torch.rand(24, 40, generator=torch.Generator().manual_seed(0))
VALUES[3, 5], VALUES[20, 30] = 0.0, 0.317
DARKEST, BRIGHTEST = np.array([0.4, 0.1, 3.5]), np.array([251.8, 252.8, 190.7])  # magma's ends


def draw(values: torch.Tensor, path) -> np.ndarray:
    heat_map(values, path, title="spread", label="on the [-1, 1] scale")
    return read(path)


def test_heat_map_colours_every_value_by_magma_from_zero_to_the_largest(tmp_path):
    figure = draw(VALUES, tmp_path / "h.png")
    scale, top, left = 5, 20 + 25 + 10, 20  # below a margin and a line of title
    shown = figure[top + scale // 2 :: scale, left + scale // 2 :: scale][:24, :40]
    fractions = (VALUES / VALUES.max()).numpy()
    assert np.abs(shown - 255 * colormaps["magma"](fractions)[..., :3]).max() <= 1
    assert np.abs(shown[3, 5] - DARKEST).max() <= 1
    assert np.abs(shown[20, 30] - BRIGHTEST).max() <= 1
    assert holds(figure, shown, top, left, scale)
    assert os.listdir(tmp_path) == ["h.png"]


@pytest.mark.parametrize(
    ("largest", "labels"),
    [
        (0.317, ["0", "0.16", "0.32"]),
        (2.0, ["0", "1", "2"]),
        (3.1e-7, ["0", "1.6e-07", "3.1e-07"]),
        (0.0, ["0", "0.5", "1"]),
    ],
)
def test_the_bar_of_a_heat_map_ends_at_zero_and_the_largest_value(tmp_path, largest, labels):
    with mock.patch.object(Figure, "__init__", autospec=True, side_effect=Figure.__init__) as made:
        draw(largest / 0.317 * VALUES, tmp_path / "h.png")
    figure = made.call_args.args[0]
    (bar,) = figure.axes
    assert [text.get_text() for text in bar.get_yticklabels()] == labels
    assert bar.get_ylim() == pytest.approx((0, largest or 1))
    ends = [text.get_window_extent() for text in bar.get_yticklabels()]
    label = bar.yaxis.label.get_window_extent()
    assert max(end.x1 for end in ends) < label.x0, "the numbers run into the label"
    assert label.x1 <= figure.bbox.x1, "the label runs over the margin"


def test_a_heat_map_of_zeros_is_magmas_darkest(tmp_path):
    figure = draw(torch.zeros(64, 64), tmp_path / "h.png")
    assert np.abs(figure[55 : 55 + 192, 20 : 20 + 192] - DARKEST).max() <= 1


@pytest.mark.parametrize("shape", [(256, 256), (24, 40), (8, 8), (300, 12), (1, 1)])
def test_heat_maps_of_any_size_are_whole_and_come_out_the_same(tmp_path, shape):
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    figure = draw(values, tmp_path / "a.png")
    draw(values, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    Image.open(tmp_path / "a.png").verify()
    scale = max(1, round(192 / shape[1]))
    assert figure.shape[0] >= 20 + 25 + 10 + scale * shape[0] + 20
    for margin in (figure[:10], figure[-5:], figure[:, :10], figure[:, -5:]):
        assert (margin == 255).all(), "something runs over the margin"

"""Pictures of pictures: contact sheets and comparisons, every pixel shown as an unblurred square."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import atomic_path
from posteriori.images.files import to_uint8

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable

_DPI = 128  # a power of two: sizes in pixels survive the division
_CELL = 192  # small pictures are enlarged to about this width
_PANELS = 7  # side by side in a comparison
_MARGIN, _GAP, _LINE, _TITLE, _BAR = 20, 10, 20, 25, 18
_ACCENT, _INK, _FAINT = "#ffb000", "#1a1a1a", "#666666"


class _Canvas:
    """A white picture, drawn on from its top left corner. Pillow's, for matplotlib takes half a second to import."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), "white")
        self.pen = ImageDraw.Draw(self.image)

    def picture(self, pixels: np.ndarray, left: int, top: int) -> None:
        self.image.paste(Image.fromarray(pixels), (left, top))

    def text(self, text: str, left: int, top: int, size: int = 13, colour: str = _INK, bold: bool = False) -> None:
        # By the baseline: aligned at the top, lines without ascenders would sit higher.
        self.pen.text((left, top + size), text, colour, _font(size, bold), anchor="ls")

    def frame(self, left: int, top: int, width: int, height: int) -> None:
        for colour, out in (("black", 2), (_ACCENT, 1)):
            corners = (left - out, top - out, left + width + out - 1, top + height + out - 1)
            self.pen.rectangle(corners, outline=colour, width=2 * out)

    def save(self, path: str | Path) -> None:
        with atomic_path(path) as temporary:
            if Path(path).suffix == ".jpg":
                self.image.save(temporary, "JPEG", quality=80)
            else:
                self.image.save(temporary, "PNG")


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """The font that plots are written in, found without importing what draws them."""
    spec = find_spec("matplotlib")
    assert spec
    folder = Path(str(spec.origin)).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"DejaVuSans{'-Bold' * bold}.ttf", size, layout_engine=ImageFont.Layout.BASIC)


def _nearest(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = np.arange(height) * len(pixels) // height
    columns = np.arange(width) * pixels.shape[1] // width
    return pixels[rows][:, columns]


def _scale(width: int, cell: int = _CELL) -> int:
    return max(1, round(cell / width))


def _wrapped(text: str, width: int, glyph: float = 7.5) -> list[str]:
    """The lines of ``text`` broken to ``width`` pixels at ``glyph`` pixels a character."""
    return [part for line in text.splitlines() for part in textwrap.wrap(line, max(8, int(width / glyph))) or [""]]


def sheet(
    images: Tensor,
    path: str | Path,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    cell: int = _CELL,
) -> None:
    """Writes a contact sheet of ``images``, (N, 3, H, W) on [-1, 1], to the PNG or .jpg file ``path``.

    Small pictures are enlarged by a whole factor to about ``cell`` pixels; ``columns`` is by default that of
    the squarest sheet; ``labels`` are N short lines under the pictures. Raises PosterioriError on other shapes.
    """
    if images.ndim != 4 or not len(images) or (columns is not None and columns < 1):
        raise PosterioriError(
            f"got shape {tuple(images.shape)}, columns {columns}: give (N, 3, H, W), N and columns >= 1"
        )
    if labels is not None and len(labels) != len(images):
        raise PosterioriError(f"got {len(labels)} labels for {len(images)} images: give one each")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    scale = _scale(images.shape[3], cell)
    height, width = scale * images.shape[2], scale * images.shape[3]
    below = _GAP + (_LINE if labels else 0)
    rows = math.ceil(len(images) / columns)
    canvas = _Canvas(2 * _GAP + columns * (width + _GAP) - _GAP, _GAP + rows * (height + below))
    for i, image in enumerate(images):
        left, top = _GAP + (i % columns) * (width + _GAP), _GAP + (i // columns) * (height + below)
        canvas.picture(_nearest(to_uint8(image), height, width), left, top)
        if labels:
            canvas.text(labels[i], left, top + height + 4)
    canvas.save(path)


def comparison(
    panels: Sequence[tuple[str, Tensor]],
    path: str | Path,
    *,
    title: str,
    zoom: tuple[int, int, int, int] | None,
) -> None:
    """Writes labelled pictures side by side, and below each the detail ``zoom``, to the PNG file ``path``.

    ``panels`` are (label, image), an image (3, H, W) or (1, 3, H, W) on [-1, 1]; the first line of a label
    is its name, further lines are notes such as "28.8 dB / 0.055". A smaller image, such as a low-resolution
    measurement, is shown at the size of the largest. ``zoom`` is (top, left, height, width) in pixels of
    the largest, drawn as a frame in every picture. Beyond seven panels there are several rows. Raises PosterioriError
    without panels or with zoom outside.
    """
    if not panels:
        raise PosterioriError("got no panels: give at least one (label, image)")
    pictures = [to_uint8(image) for _, image in panels]
    full = max((p.shape[:2] for p in pictures), key=math.prod)
    scale = _scale(full[1])
    height, width = scale * full[0], scale * full[1]
    rows = math.ceil(len(panels) / _PANELS)
    columns = math.ceil(len(panels) / rows)
    inner = columns * (width + _GAP) - _GAP
    heading = _wrapped(title, inner, glyph=10.5)
    labels = [_wrapped(label, width) for label, _ in panels]
    zoomed = _zoomed_height(zoom, full, width) if zoom else 0
    above = _GAP + max(map(len, labels)) * _LINE + 4
    below = height + (_GAP + zoomed if zoom else 0)
    start = _MARGIN + len(heading) * _TITLE
    canvas = _Canvas(inner + 2 * _MARGIN, start + rows * (above + below) + _MARGIN)
    for j, line in enumerate(heading):
        canvas.text(line, _MARGIN, _MARGIN + j * _TITLE, size=17, bold=True)
    for i, (lines, pixels) in enumerate(zip(labels, pictures, strict=True)):
        x, y = _MARGIN + i % columns * (width + _GAP), start + i // columns * (above + below) + above
        for j, line in enumerate(lines):
            canvas.text(line, x, y - 4 - (max(map(len, labels)) - j) * _LINE, colour=_FAINT if j else _INK)
        pixels = _nearest(pixels, *full)
        canvas.picture(_nearest(pixels, height, width), x, y)
        if zoom:
            top, left, h, w = zoom
            canvas.frame(x + left * scale, y + top * scale, w * scale, h * scale)
            canvas.picture(_nearest(pixels[top : top + h, left : left + w], zoomed, width), x, y + height + _GAP)
    canvas.save(path)


def heat_map(values: Tensor, path: str | Path, *, title: str, label: str) -> None:
    """Writes ``values``, (H, W) from 0 up, as colours with a colour bar named ``label``, to the PNG file ``path``."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if values.ndim != 2:
        raise PosterioriError(f"got shape {tuple(values.shape)}: give (H, W)")
    if values.isnan().any():
        raise PosterioriError("the values hold NaN: it has no colour")
    scale = _scale(values.shape[1])
    height, width = scale * values.shape[0], scale * values.shape[1]
    heading = _wrapped(title, width + _GAP + 5 * _BAR, glyph=10.5)
    top = _MARGIN + len(heading) * _TITLE + _GAP
    canvas = _Canvas(width + 2 * _MARGIN + _GAP + 5 * _BAR, top + height + _MARGIN)
    colours = ScalarMappable(Normalize(0, float(values.max()) or 1.0), "magma")
    pixels = colours.to_rgba(values.detach().float().cpu().numpy(), bytes=True)[..., :3]
    canvas.picture(_nearest(pixels, height, width), _MARGIN, top)
    canvas.picture(_colour_bar(colours, label, top, height), _MARGIN + width + _GAP, 0)
    for j, line in enumerate(heading):
        canvas.text(line, _MARGIN, _MARGIN + j * _TITLE, size=17, bold=True)
    canvas.save(path)


def _colour_bar(colours: ScalarMappable, label: str, top: int, height: int) -> np.ndarray:
    """The right part of a heat map: a bar, ``height`` pixels high below ``top``, three numbers and its ``label``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide, high = 5 * _BAR + _MARGIN, top + height + _MARGIN
    figure = Figure(figsize=(wide / _DPI, high / _DPI), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0, _MARGIN / high, _BAR / wide, height / high))
    ticks = np.linspace(*colours.get_clim(), 3)
    figure.colorbar(colours, cax=axes, ticks=ticks, format="%.2g").set_label(label, fontsize=11 * 72 / _DPI)
    axes.tick_params(labelsize=11 * 72 / _DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _zoomed_height(zoom: tuple[int, int, int, int], full: tuple[int, int], width: int) -> int:
    top, left, h, w = zoom
    if min(top, left) < 0 or min(h, w) < 1 or top + h > full[0] or left + w > full[1]:
        raise PosterioriError(
            f"zoom (top, left, height, width) is {zoom}: it must lie inside {full[0]} x {full[1]} pixels"
        )
    return round(width * h / w)

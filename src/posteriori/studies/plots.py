"""Curves, bars and heat maps, as PNG and PDF. The same numbers give the same bytes."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter
from PIL import Image

from posteriori.files import atomic_path
from posteriori.studies.sweep import Axis, Measured, best

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: also for the colour-blind
_NAMES = {"psnr": "PSNR (dB)", "lpips": "LPIPS"}


def figure(columns: int, rows: int = 1, *, width: float = 4.2, height: float = 3.0) -> tuple[Figure, list[Axes]]:
    """A white figure of ``rows`` x ``columns`` axes; no pyplot, hence no global state."""
    drawn = Figure(figsize=(width * columns, height * rows), dpi=144, layout="constrained", facecolor="white")
    axes = drawn.subplots(rows, columns, squeeze=False).ravel().tolist()
    for each in axes:
        each.grid(alpha=0.25)
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=8, which="both")
    return drawn, axes


def save(drawn: Figure, stem: Path) -> Path:
    """Writes STEM.png and STEM.pdf, and returns the first."""
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None, "Producer": None})):
        data = io.BytesIO()  # first, because matplotlib hides what a full disk says of a PDF behind an error of its own
        drawn.savefig(data, format=suffix[1:], metadata=metadata)
        with atomic_path(stem.with_suffix(suffix)) as path:
            path.write_bytes(data.getvalue())
    return stem.with_suffix(".png")


def with_pdf(draw: Callable[[Path], None], stem: Path) -> Path:
    """Has ``draw`` write STEM.png, and wraps that picture into STEM.pdf."""
    png = stem.with_suffix(".png")
    draw(png)
    with Image.open(io.BytesIO(png.read_bytes())) as picture, atomic_path(stem.with_suffix(".pdf")) as path:
        epoch = time.gmtime(0)
        picture.convert("RGB").save(path, "PDF", resolution=144.0, creationDate=epoch, modDate=epoch, quality=95)
    return png


def band(axes: Axes, x: Sequence[float], points: Sequence[Measured], metric: str, label: str, colour: str) -> None:
    """A curve of ``metric`` with its intervals."""
    estimates = [getattr(point, metric) for point in points]
    axes.plot(x, [e.mean for e in estimates], "o-", color=colour, label=label, linewidth=1.6, markersize=4)
    axes.fill_between(x, [e.low for e in estimates], [e.high for e in estimates], color=colour, alpha=0.15, lw=0)


def logarithmic(axes: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic x axis with plain numbers at ``ticks``."""
    axes.set_xscale("log")
    axes.set_xticks(list(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()


def curves(axis: Axis, points: Sequence[Measured], title: str) -> Figure:
    """PSNR and LPIPS against one field."""
    drawn, panels = figure(2)
    ordered = sorted(points, key=lambda point: point.at) if axis.numeric else list(points)
    x = [float(point.at[0]) for point in ordered] if axis.numeric else list(range(len(ordered)))
    for panel, metric, colour in zip(panels, _NAMES, COLOURS, strict=False):
        band(panel, x, ordered, metric, "", colour)
        at = x[ordered.index(best(ordered))]
        panel.axvline(at, color="#666666", lw=0.8, ls=":")
        panel.set_xlabel(axis.name)
        panel.set_ylabel(_NAMES[metric])
        if not axis.numeric:
            panel.set_xticks(x, [str(point.at[0]) for point in ordered])
        elif min(x) > 0 and max(x) >= 4 * min(x):
            logarithmic(panel, x)
    drawn.suptitle(title, fontsize=10)
    return drawn


def heat_maps(axes: tuple[Axis, Axis], points: Sequence[Measured], title: str) -> Figure:
    """PSNR and LPIPS against two fields, with the value in every cell. A frame marks the highest PSNR."""
    drawn, panels = figure(2, height=0.8 + 0.55 * len(axes[0].values))
    rows, columns = (axis.values for axis in axes)
    at = best(points).at
    for panel, metric, colours in zip(panels, _NAMES, ("viridis", "viridis_r"), strict=True):
        values = np.full((len(rows), len(columns)), np.nan)
        for point in points:
            values[rows.index(point.at[0]), columns.index(point.at[1])] = getattr(point, metric).mean
        image = panel.imshow(values, cmap=colours, aspect="auto")
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
        middle = np.nanmean(image.get_clim())
        for (i, j), value in np.ndenumerate(values):
            light = (value > middle) == (metric == "psnr")
            text = f"{value:.2f}" if metric == "psnr" else f"{value:.4f}"
            panel.text(j, i, text, ha="center", va="center", fontsize=8, color="black" if light else "white")
        frame = (columns.index(at[1]) - 0.5, rows.index(at[0]) - 0.5)
        panel.add_patch(Rectangle(frame, 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2))
        panel.set_xticks(range(len(columns)), [_tick(value) for value in columns])
        panel.set_yticks(range(len(rows)), [_tick(value) for value in rows])
        panel.set_xlabel(axes[1].name)
        panel.set_ylabel(axes[0].name)
        panel.set_title(_NAMES[metric], fontsize=9)
    drawn.suptitle(title, fontsize=10)
    return drawn


def _tick(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"

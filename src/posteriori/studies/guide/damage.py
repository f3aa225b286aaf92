"""How the gallery's pictures are degraded: by a model of a camera, and by ImageMagick."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter


def magick(source: Path, target: Path, *options: str) -> None:
    """ImageMagick 6."""
    subprocess.run(["convert", str(source), "-seed", "0", *options, str(target)], check=True)


def rgb(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def high_iso(source: Path, target: Path) -> None:
    """A sensor's shot and read noise behind a Bayer mosaic, interpolated, smoothed as cameras do, and JPEG.

    In linear light on [0, 1] a pixel of brightness v has the variance 0.01 v + 0.0002 (the model of Foi et al. 2008).
    """
    rng = np.random.default_rng(0)
    srgb = np.asarray(rgb(source)) / 255
    linear = np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    noisy = linear + np.sqrt(0.01 * linear + 0.0002) * rng.normal(size=linear.shape)
    rows, columns = np.indices(linear.shape[:2])
    places = [(rows % 2 == 0) & (columns % 2 == 0), (rows + columns) % 2 == 1, (rows % 2 == 1) & (columns % 2 == 1)]
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    square = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    kernels = (square, cross, square)
    seen = np.stack([convolve(noisy[..., i] * places[i], kernels[i], mode="mirror") for i in range(3)], -1)
    light = gaussian_filter(seen, (0.8, 0.8, 0)).clip(0, 1)
    found = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    Image.fromarray(np.round(255 * found).astype(np.uint8)).save(target, quality=92, subsampling=0)


def scratched(source: Path, target: Path) -> None:
    """A print with grain, scanned with its scratches: white and dark polylines with soft edges."""
    rng = np.random.default_rng(0)
    width, height = rgb(source).size
    lines = []
    for i in range(14):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        angle, length = rng.normal(np.pi / 2, 0.5), rng.uniform(0.1, 0.5) * height
        points = []
        for _ in range(8):
            points.append(f"{x:.1f},{y:.1f}")
            angle += rng.normal(0, 0.12)
            x, y = x + length / 7 * np.cos(angle), y + length / 7 * np.sin(angle)
        colour = "gray95" if i % 4 else "gray10"
        lines += [
            "-stroke",
            colour,
            "-strokewidth",
            f"{rng.uniform(1, 2.4):.1f}",
            "-draw",
            f"polyline {' '.join(points)}",
        ]
    magick(source, target, "-attenuate", "0.15", "+noise", "Gaussian", "-fill", "none", *lines, "-colorspace", "Gray")


def written_over(source: Path, target: Path) -> None:
    """A date and a line of text, and the strokes that a user would paint over them, wider than the letters."""
    text = ["-pointsize", "30", "-annotate", "+30+370", "Pikolo Espresso Bar, 2012", "-pointsize", "22"]
    text += ["-annotate", "+390+40", "12.04.2012 09:41"]
    magick(source, target, "-fill", "#ffd24a", "-stroke", "none", *text, "-alpha", "off")
    clear = ["-size", "600x400", "xc:none", "-fill", "red", "-stroke", "red", "-strokewidth", "4", *text]
    subprocess.run(["convert", *clear, str(target.with_name("strokes.png"))], check=True)


def moved(source: Path, target: Path) -> None:
    """ImageMagick's motion blur, and its kernel, which is the same blur of a single white pixel."""
    blur = ["-motion-blur", "0x4+25"]
    magick(source, target, *blur, "-quality", "95")
    dot = ["-size", "25x25", "xc:black", "-fill", "white", "-draw", "point 12,12", *blur, "-auto-level"]
    subprocess.run(["convert", *dot, str(target.with_name("kernel.png"))], check=True)


def by(*options: str) -> Callable[[Path, Path], None]:
    return lambda source, target: magick(source, target, *options)

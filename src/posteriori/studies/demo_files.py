"""Writes the demo's table and figures to files."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path

from posteriori import __version__
from posteriori.files import atomic_path, write_json
from posteriori.images.sheets import comparison, sheet
from posteriori.samplers import SAMPLERS
from posteriori.studies.demo import Demo, Row, TaskResult
from posteriori.studies.tasks import SIGMA_Y, T_DENOISE


def write_demo(demo: Demo, out: Path, *, prior: str, image: str, seed: int) -> list[Path]:
    """Writes results.csv, results.json, settings.json and the figures into ``out``; returns the paths."""
    paths = [out / "results.csv", out / "results.json", out / "settings.json"]
    rows = [asdict(row) for row in demo.rows]
    with atomic_path(paths[0]) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(rows)
    settings = {
        "posteriori": __version__,
        "prior": prior,
        "image": image,
        "size": demo.truth.shape[-1],
        "steps": demo.steps,
        "seed": seed,
        "sigma": {"value": SIGMA_Y, "range": [-1, 1]},
        "lpips": f"AlexNet v0.1 at {demo.truth.shape[-1]} px, not comparable with other sizes",
        "samplers": demo.settings,
    }
    for path, value in ((paths[1], rows), (paths[2], settings)):
        write_json(value, path)
    for result in demo.tasks:
        paths.append(out / f"{result.task.name}.png")
        comparison(
            _panels(demo, result),
            paths[-1],
            title=f"{result.task.label}, noise sigma {SIGMA_Y} on [-1, 1], at most {demo.steps} steps",
            zoom=_zoom(demo, result),
        )
    paths.append(out / "denoising.png")
    comparison(
        [("truth", demo.truth), (f"noised, t = {T_DENOISE}", demo.noised), ("one network call", demo.denoised)],
        paths[-1],
        title=f"single-pass denoising, t = {T_DENOISE}",
        zoom=None,
    )
    paths.append(out / "sample.png")
    sheet(demo.unconditional, paths[-1])
    return paths


_TITLES = {"measurement": "measurement"} | {sampler.name: sampler.__name__ for sampler in SAMPLERS}


def _panels(demo: Demo, result: TaskResult):
    panels = [
        (f"{_TITLES[row.method]}\n{row.psnr:.2f} dB / LPIPS {row.lpips:.3f}", picture)
        for row, picture in zip(result.rows, result.pictures, strict=True)
    ]
    return [panels[0], ("truth\n(PSNR / LPIPS to it)", demo.truth), *panels[1:]]


def _zoom(demo: Demo, result: TaskResult) -> tuple[int, int, int, int]:
    """The hole and its surroundings for inpainting; the eye region of an aligned face otherwise."""
    side = demo.truth.shape[-1]
    if result.task.name == "inpainting":
        extent = round(0.4 * side)
        return ((side - extent) // 2, (side - extent) // 2, extent, extent)
    return (round(0.28 * side), round(0.2 * side), round(0.3 * side), round(0.3 * side))

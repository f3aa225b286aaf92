"""The report's table and figures as files."""

from __future__ import annotations

import csv
from dataclasses import asdict, fields
from pathlib import Path

from posteriori import __version__
from posteriori.experiments.report import SIGMA_Y, T_DENOISE, Report, Row, TaskResult
from posteriori.figures import comparison, sheet
from posteriori.files import atomic_path, write_json


def write_report(report: Report, out: Path, *, prior: str, image: str, seed: int) -> list[Path]:
    """Writes results.csv, results.json, settings.json and the figures into ``out``; returns the paths."""
    paths = [out / "results.csv", out / "results.json", out / "settings.json"]
    rows = [asdict(row) for row in report.rows]
    with atomic_path(paths[0]) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)])
        writer.writeheader()
        writer.writerows(rows)
    settings = {
        "posteriori": __version__,
        "prior": prior,
        "image": image,
        "size": report.truth.shape[-1],
        "steps": report.steps,
        "seed": seed,
        "sigma": {"value": SIGMA_Y, "range": [-1, 1]},
        "lpips": f"AlexNet v0.1 at {report.truth.shape[-1]} px, not comparable with other sizes",
        "samplers": report.settings,
    }
    for path, value in ((paths[1], rows), (paths[2], settings)):
        write_json(value, path)
    for result in report.tasks:
        paths.append(out / f"{result.task.name}.png")
        comparison(
            _panels(report, result),
            paths[-1],
            title=f"{result.task.label}, noise sigma {SIGMA_Y} on [-1, 1], {report.steps} steps",
            zoom=_zoom(report, result),
        )
    paths.append(out / "denoising.png")
    comparison(
        [("truth", report.truth), (f"noised, t = {T_DENOISE}", report.noised), ("one network call", report.denoised)],
        paths[-1],
        title=f"single-pass denoising, t = {T_DENOISE}",
        zoom=None,
    )
    paths.append(out / "sample.png")
    sheet(report.unconditional, paths[-1])
    return paths


_TITLES = {"measurement": "measurement", "sdedit": "SDEdit", "scoreald": "ScoreALD", "dps": "DPS"}


def _panels(report: Report, result: TaskResult):
    panels = [
        (f"{_TITLES[row.method]}\n{row.psnr:.2f} dB / LPIPS {row.lpips:.3f}", picture)
        for row, picture in zip(result.rows, result.pictures, strict=True)
    ]
    return [panels[0], ("truth\n(PSNR / LPIPS to it)", report.truth), *panels[1:]]


def _zoom(report: Report, result: TaskResult) -> tuple[int, int, int, int]:
    """The hole and its surroundings for inpainting; the eye region of an aligned face otherwise."""
    side = report.truth.shape[-1]
    if result.task.name == "inpainting":
        extent = round(0.4 * side)
        return ((side - extent) // 2, (side - extent) // 2, extent, extent)
    return (round(0.28 * side), round(0.2 * side), round(0.3 * side), round(0.3 * side))

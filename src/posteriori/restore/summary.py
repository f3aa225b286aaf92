"""The outcomes of inputs: a table row for each, and results.json for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from posteriori.errors import PosterioriError
from posteriori.files import read_json, write_json
from posteriori.restore.inputs import Source
from posteriori.restore.manifest import MANIFEST, SUMMARY


@dataclass(frozen=True)
class Outcome:
    """The outcome of an input: its manifest, or the error that stopped it; ``there`` if it had been done before."""

    source: Source
    manifest: dict[str, Any] | None = None
    error: Exception | None = None
    there: bool = False


def summary(outcome: Outcome, out: Path) -> dict[str, Any]:
    """One input as a table row. Metrics are those of the samples' mean, except for ``psnr_of_a_sample``.

    If the best sample is the result, metrics and checks refer to it. ``coverage`` refers to the pixels that a mask
    hides, or to all if there is no mask.
    """
    name, manifest = outcome.source.name, outcome.manifest or {}
    best = manifest.get("best") or {}
    scores = (manifest.get("metrics") or {}).get("best" if best else "mean", {})
    samples = (manifest.get("metrics") or {}).get("samples", [])
    coverage = (manifest.get("interval") or {}).get("coverage", {})
    mean = lambda values: fmean(values) if values else None  # noqa: E731
    residual, shift = (manifest.get(check) or {} for check in ("residual", "shift"))
    checked = lambda values: values[best["sample"] - 1] if best else mean(values)  # noqa: E731
    return {
        "name": name,
        "input": outcome.source.path,
        "folder": str(out / name) if manifest else None,
        **{metric: scores.get(metric) for metric in ("psnr", "ssim", "lpips")},
        "psnr_of_a_sample": mean([s["psnr"] for s in samples]) if len(samples) > 1 else None,
        "coverage": coverage.get("all") if coverage.get("hidden") is None else coverage["hidden"],
        "residual": checked(residual.get("samples")),
        "residuals": residual.get("samples") if best else None,
        "explaining": best.get("share that explains y"),
        "residual_of_true_images": residual.get("95% of true images"),
        "shift": checked(shift.get("samples")),
        "shift_of_known_pictures": shift.get("95% of held-out pictures"),
        "warnings": manifest.get("warnings", []),
        "notes": manifest.get("input", {}).get("notes", []),
        "network_calls": manifest.get("network_calls"),
        "seconds": manifest.get("seconds"),
        "error": str(outcome.error) if outcome.error else None,
    }


def write_summary(out: Path) -> None:
    """Writes results.json, with an entry for every folder in ``out``."""
    write_json([row(path, out) for path in sorted(out.rglob(MANIFEST))], out / SUMMARY)


def row(path: Path, out: Path) -> dict[str, Any]:
    """``summary`` of the manifest ``path`` in ``out``. PosterioriError if it is not the manifest of a restoration."""
    manifest = read_json(path)
    try:
        return summary(Outcome(Source(manifest["input"]["file"], manifest["name"]), manifest), out)
    except (KeyError, TypeError, AttributeError, IndexError):  # of another shape
        raise PosterioriError(f"{path} is not a manifest of a restoration: remove its folder, and run again") from None

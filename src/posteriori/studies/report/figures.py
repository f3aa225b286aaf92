"""The report's figures 1 to 8, and figures of what it did not measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from posteriori.studies import plots
from posteriori.studies.page import Plot
from posteriori.studies.report import curves, panels
from posteriori.studies.report.experiment import Reproduction
from posteriori.studies.report.plan import LABELS
from posteriori.studies.tasks import T_DENOISE


def draw(done: Reproduction, folder: Path) -> dict[str, Plot]:
    """Draws every figure into ``folder``. Returns them by name, in the order of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, caption, alt, make in _all(done):
        drawn[name] = Plot(make(folder / name), caption, alt)
    return drawn


def _all(done: Reproduction) -> Iterator[tuple[str, str, str, Callable[[Path], Path]]]:
    box, blur = done.tasks
    steps, first = done.scope.steps, done.split.reported.labels[0]
    yield (
        "forward-process",
        f"Figure 1. The forward process on {first}.",
        "The picture under more and more noise.",
        partial(plots.with_pdf, partial(panels.forward_process, done)),
    )
    yield (
        "metrics",
        "Figure 2. PSNR and LPIPS by method and task, 95% intervals; crosses are the report's figures.",
        "Bars of PSNR and of LPIPS for every method on both tasks.",
        partial(curves.bars, done),
    )
    yield (
        "denoising",
        f"Figure 3. One network call at t = {T_DENOISE}.",
        "Original, noised and denoised picture.",
        partial(plots.with_pdf, partial(panels.denoising, done)),
    )
    yield (
        "unconditional",
        "Figure 4. A sample of the prior alone, from noise to a picture: x_t above, its estimate x0hat below.",
        "From noise to a picture in eight steps.",
        partial(plots.with_pdf, partial(panels.unconditional, done)),
    )
    for number, method, on in ((5, "sdedit", box), (6, "scoreald", blur), (7, "dps", blur)):
        yield (
            f"{method}-{on.task.name}",
            f"Figure {number}. {LABELS[method]}, {on.task.label}, {steps} steps.",
            f"Measurement, original and what {LABELS[method]} restores.",
            partial(plots.with_pdf, partial(panels.compare, done, on, [method])),
        )
    yield (
        "eyes",
        "Figure 8. The eye region: ScoreALD against DPS.",
        "A zoomed crop of two restorations.",
        partial(plots.with_pdf, partial(panels.eyes, done)),
    )
    for on in done.tasks:
        yield (
            f"all-{on.task.name}",
            f"Every method on {on.task.name}, with PSNR and LPIPS to the original.",
            f"All methods on {on.task.label}.",
            partial(plots.with_pdf, partial(panels.compare, done, on, ["sdedit", "scoreald", "dps"])),
        )
    yield (
        "gradient",
        "|g|, |r| and 2|r||g| over t: median and quartiles over pictures. Dotted: |g| of DPS with a "
        f"Gaussian as the prior, fitted to {done.fitted_to}.",
        "Curves over the time t for both tasks.",
        partial(curves.gradient, done),
    )
    yield (
        "step-length",
        "The length of the guidance step over t for each scaling, at the strength that tuning found best.",
        "Step lengths over t.",
        partial(curves.lengths, done),
    )
    yield (
        "along-the-path",
        "The residual, as a multiple of the noise's sigma sqrt(m), and the PSNR of x0hat over t.",
        "Curves over t.",
        partial(curves.along_the_path, done),
    )
    yield (
        "tuning",
        "The ablation's search: PSNR on the tuning pictures against the strength, relative to the start of the search.",
        "Four curves for each task.",
        partial(curves.tuning, done),
    )
    for on in done.tasks:
        title = f"ScoreALD, {on.task.label}, {len(done.tuning)} pictures, {steps} steps"
        yield (
            f"endpoints-{on.task.name}",
            f"ScoreALD on {on.task.name} by lambda_T and lambda_0, the ends of its schedule. Frame: the highest PSNR.",
            "A heat map of PSNR and LPIPS.",
            partial(plots.save, plots.heat_maps(*on.endpoints, title)),
        )
    yield (
        "t-start",
        "SDEdit by its starting time t*, with 95% intervals over pictures.",
        "PSNR and LPIPS against t*.",
        partial(curves.t_start, done),
    )
    yield ("fewer-steps", "DPS in fewer steps: PSNR and LPIPS against network calls, and against seconds.",
           "Curves of PSNR and LPIPS.", partial(curves.ladder, done))  # fmt: skip

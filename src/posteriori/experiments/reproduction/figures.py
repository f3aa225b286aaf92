"""The report's figures 1 to 8, and those of what it did not measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from posteriori.experiments import plots
from posteriori.experiments.engine.store import Result
from posteriori.experiments.page import Picture
from posteriori.experiments.plots import COLOURS
from posteriori.experiments.reproduction.experiment import OnTask, Reproduction
from posteriori.experiments.reproduction.plan import LABELS, T_START
from posteriori.experiments.reproduction.tables import DIGITS, PUBLISHED, profile, seconds
from posteriori.experiments.statistics import Estimate
from posteriori.experiments.sweep import Measured
from posteriori.experiments.tasks import SIGMA_Y, T_DENOISE
from posteriori.figures import comparison, sheet
from posteriori.kernels import forward
from posteriori.rng import Rng, image_key

#: times of the forward process's figure
_TIMES = (0, 50, 100, 250, 500, 750, 1000)
_METRICS = {"psnr": "PSNR (dB)", "lpips": "LPIPS"}


def draw(done: Reproduction, folder: Path) -> dict[str, Picture]:
    """Draws every figure into ``folder``; by name, in the order of the report."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, caption, alt, make in _all(done):
        drawn[name] = Picture(make(folder / name), caption, alt)
    return drawn


def _all(done: Reproduction) -> Iterator[tuple[str, str, str, Callable[[Path], Path]]]:
    box, blur = done.tasks
    steps, first = done.scope.steps, done.choice.reported.labels[0]
    yield (
        "forward-process",
        f"Figure 1. The forward process on {first}.",
        "The picture under more and more noise.",
        lambda stem: plots.with_pdf(lambda path: _forward(done, path), stem),
    )
    yield (
        "metrics",
        "Figure 2. PSNR and LPIPS by method and task, 95% intervals; crosses are the report's own.",
        "Bars of PSNR and of LPIPS for every method on both tasks.",
        lambda stem: _bars(done, stem),
    )
    yield (
        "denoising",
        f"Figure 3. One network call at t = {T_DENOISE}.",
        "Original, noised and denoised picture.",
        lambda stem: plots.with_pdf(lambda path: _denoising(done, path), stem),
    )
    yield (
        "unconditional",
        "Figure 4. A sample of the prior alone: x_t above, its estimate x0hat below, t falling.",
        "From noise to a picture in eight steps.",
        lambda stem: plots.with_pdf(lambda path: _sample(done, path), stem),
    )
    for number, method, on in ((5, "sdedit", box), (6, "scoreald", blur), (7, "dps", blur)):
        yield (
            f"{method}-{on.task.name}",
            f"Figure {number}. {LABELS[method]}, {on.task.label}, {steps} steps.",
            f"Measurement, original and what {LABELS[method]} restores.",
            lambda stem, on=on, method=method: plots.with_pdf(lambda path: _compare(done, on, [method], path), stem),
        )
    yield (
        "eyes",
        "Figure 8. The eye region: ScoreALD against DPS.",
        "A zoomed crop of two restorations.",
        lambda stem: plots.with_pdf(lambda path: _eyes(done, path), stem),
    )
    for on in done.tasks:
        yield (
            f"all-{on.task.name}",
            f"Every method on {on.task.name}.",
            f"All methods on {on.task.label}.",
            lambda stem, on=on: plots.with_pdf(
                lambda path: _compare(done, on, ["sdedit", "scoreald", "dps"], path), stem
            ),
        )
    yield (
        "gradient",
        "|g|, |r| and 2|r||g| over t: median and quartiles over pictures. Dotted: |g| of DPS with a "
        f"Gaussian as the prior, fitted to {done.fitted_to}.",
        "Curves over the time t for both tasks.",
        lambda stem: _gradient(done, stem),
    )
    yield (
        "step-length",
        "What each scaling makes of it: the length of the step over t, each at its best strength.",
        "Step lengths over t.",
        lambda stem: _lengths(done, stem),
    )
    yield (
        "along-the-path",
        "The residual, as a multiple of the noise's sigma sqrt(m), and the PSNR of x0hat over t.",
        "Curves over t.",
        lambda stem: _path(done, stem),
    )
    yield (
        "tuning",
        "The ablation's search: PSNR on the tuning pictures against the strength, as a multiple of where "
        "the search began.",
        "Four curves for each task.",
        lambda stem: _tuning(done, stem),
    )
    for on in done.tasks:
        yield (
            f"endpoints-{on.task.name}",
            f"ScoreALD's two endpoints on {on.task.name}.",
            "A heat map of PSNR and LPIPS.",
            lambda stem, on=on: plots.save(
                plots.heat_maps(
                    on.endpoints[0],
                    on.endpoints[1],
                    f"ScoreALD, {on.task.label}, {len(done.tuning)} pictures, {steps} steps",
                ),
                stem,
            ),
        )
    yield ("t-start", "SDEdit's starting time t*.", "PSNR and LPIPS against t*.", lambda stem: _t_start(done, stem))
    yield ("fewer-steps", "DPS at fewer steps: quality against network calls and against seconds.",
           "Curves of PSNR and LPIPS.", lambda stem: _ladder(done, stem))  # fmt: skip


def _tensor(pixels: np.ndarray) -> Tensor:
    """(..., H, W, 3) uint8 as (..., 3, H, W) on [-1, 1]."""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 127.5 - 1


def _forward(done: Reproduction, path: Path) -> None:
    schedule, x_0 = done.campaign.prior.schedule, done.choice.reported.x[:1]
    noise = Rng(done.seeds[0], [image_key(x_0)]).normal(x_0.shape[1:])
    times = [t for t in _TIMES if t <= schedule.T]
    shown = [forward(x_0, schedule.level(t), noise) for t in times]
    sheet(torch.cat(shown), path, columns=len(shown), labels=[f"t = {t}" for t in times])


def _bars(done: Reproduction, stem: Path) -> Path:
    drawn, axes = plots.figure(2, len(done.tasks))
    for row, on in enumerate(done.tasks):
        for axis, (metric, label) in zip(axes[2 * row : 2 * row + 2], _METRICS.items(), strict=True):
            estimates = [Estimate.of(result.by_image(metric)) for result in on.methods.values()]
            x = range(len(estimates))
            error = np.nan_to_num([[e.mean - e.low for e in estimates], [e.high - e.mean for e in estimates]])
            axis.bar(x, [e.mean for e in estimates], color=["#bbbbbb", *COLOURS[:3]], yerr=error, capsize=3)
            for i, method in enumerate(on.methods):
                if published := PUBLISHED.get((on.task.name, method)):
                    axis.plot(i, published[metric == "lpips"], "kx")
            axis.set_xticks(x, [LABELS[method] for method in on.methods], fontsize=8)
            axis.set_ylabel(label)
            axis.set_title(on.task.label, fontsize=9)
    return plots.save(drawn, stem)


def _denoising(done: Reproduction, path: Path) -> None:
    x_t, x0 = (_tensor(pixels[0]) for pixels in done.single_pass.pictures["path"][-1])
    score = f"{done.single_pass.figures['psnr'][0]:.2f} dB"
    panels = [("original", done.choice.reported.x[:1]), (f"noised, t = {T_DENOISE}", x_t), (f"denoised\n{score}", x0)]
    comparison(panels, path, title=f"single-pass denoising, t = {T_DENOISE}", zoom=None)


def _sample(done: Reproduction, path: Path) -> None:
    frames = _tensor(done.unconditional.pictures["path"][:, :, 0])
    sheet(torch.cat([frames[:, 0], frames[:, 1]]), path, columns=len(frames))


def _restored(result: Result, name: str = "x") -> Tensor:
    return _tensor(result.pictures[name][0])


def _scored(result: Result, label: str) -> str:
    figures = (f"{result.figures[name][0]:.{DIGITS[name]}f}" for name in ("psnr", "lpips"))
    return f"{label}\n{' dB / '.join(figures)}"


def _compare(done: Reproduction, on: OnTask, methods: list[str], path: Path) -> None:
    measurement = on.methods["measurement"]
    panels = [
        (_scored(measurement, "measurement"), _restored(measurement, "y")),
        ("original\n(PSNR / LPIPS to it)", done.choice.reported.x[0]),
        *((_scored(on.methods[name], LABELS[name]), _restored(on.methods[name])) for name in methods),
    ]
    title = f"{on.task.label}, noise sigma {SIGMA_Y}, {done.scope.steps} steps"
    comparison(panels, path, title=title, zoom=None)


def _eyes(done: Reproduction, path: Path) -> None:
    on, side = done.tasks[1], done.campaign.prior.shape[-1]
    zoom = (round(0.3 * side), round(0.2 * side), round(0.2 * side), round(0.6 * side))
    panels = [("original", done.choice.reported.x[0])]
    panels += [(_scored(on.methods[name], LABELS[name]), _restored(on.methods[name])) for name in ("scoreald", "dps")]
    comparison(panels, path, title=f"eye region, {on.task.label}", zoom=zoom)


def _quartiles(axis: Axes, t: np.ndarray, values: np.ndarray, label: str, colour: str, style: str = "-") -> None:
    axis.plot(t, values[1], style, color=colour, label=label, lw=1.6)
    axis.fill_between(t, values[0], values[2], color=colour, alpha=0.15, lw=0)


def _over_time(axis: Axes, done: Reproduction, label: str, *, log: bool = True) -> None:
    axis.set_xlim(done.campaign.prior.schedule.T, 0)
    axis.set_xlabel("t", fontsize=8)
    axis.set_ylabel(label, fontsize=9)
    if log:
        axis.set_yscale("log")
    axis.legend(fontsize=7)


def _gradient(done: Reproduction, stem: Path) -> Path:
    T, names = done.campaign.prior.schedule.T, ("|g|", "|r|", "2|r||g|")
    drawn, axes = plots.figure(3, len(done.tasks), width=3.4, height=2.7)
    for row, on in enumerate(done.tasks):
        for axis, name in zip(axes[3 * row : 3 * row + 3], names, strict=True):
            for method, colour in (("dps", COLOURS[0]), ("scoreald", COLOURS[1])):
                t, found = profile(on.methods[method], T)
                _quartiles(axis, t, found[name], LABELS[method], colour)
            if name == "|g|":
                after, gradient = on.gaussian
                median = np.median(gradient, axis=1)
                axis.plot(np.concatenate([[T], after[:-1]]), median, ":", color="black", lw=1.4, label="Gaussian prior")
            _over_time(axis, done, name)
            axis.set_title(on.task.name, fontsize=9)
    return plots.save(drawn, stem)


def _lengths(done: Reproduction, stem: Path) -> Path:
    T = done.campaign.prior.schedule.T
    drawn, axes = plots.figure(len(done.tasks))
    for axis, on in zip(axes, done.tasks, strict=True):
        for tuned, colour in zip(on.tuned, COLOURS, strict=False):
            t, found = profile(tuned.result, T)
            c = tuned.strength
            length = {
                "unit": np.full_like(found["|g|"], c),
                "norm": c * found["|g|"],
                "linear": c * (1.5 - 0.5 * t / T) * found["|g|"],
                "square": c * found["2|r||g|"],
            }[tuned.variant.name]
            _quartiles(axis, t, length, tuned.variant.formula, colour)
        _over_time(axis, done, "L2 length of the step")
        axis.set_title(on.task.label, fontsize=9)
    return plots.save(drawn, stem)


def _path(done: Reproduction, stem: Path) -> Path:
    T = done.campaign.prior.schedule.T
    drawn, axes = plots.figure(2, len(done.tasks), height=2.7)
    for row, on in enumerate(done.tasks):
        operator = on.task.operator
        m = operator.observed(operator(torch.zeros(1, *done.campaign.prior.shape))).shape[1]
        for method, colour in zip(("scoreald", "dps"), (COLOURS[1], COLOURS[0]), strict=True):
            t, found = profile(on.methods[method], T)
            _quartiles(axes[2 * row], t, found["|r|"] / (SIGMA_Y * m**0.5), LABELS[method], colour)
            _quartiles(axes[2 * row + 1], t, found["PSNR of x0hat"], LABELS[method], colour)
        axes[2 * row].axhline(1, color="#666666", lw=0.8, ls=":")
        _over_time(axes[2 * row], done, "|r| / (sigma sqrt(m))")
        _over_time(axes[2 * row + 1], done, "PSNR of x0hat (dB)", log=False)
        for axis in axes[2 * row : 2 * row + 2]:
            axis.set_title(on.task.label, fontsize=9)
    return plots.save(drawn, stem)


def _tuning(done: Reproduction, stem: Path) -> Path:
    drawn, axes = plots.figure(len(done.tasks))
    for axis, on in zip(axes, done.tasks, strict=True):
        for tuned, colour in zip(on.tuned, COLOURS, strict=False):
            x = [2**e for e in tuned.points]
            axis.plot(x, [p.psnr.mean for p in tuned.points.values()], "o-", color=colour, ms=4,
                      label=f"{tuned.variant.formula}, c = {tuned.variant.centre:.3g} at 1")  # fmt: skip
        plots.logarithmic(axis, sorted({2**e for tuned in on.tuned for e in tuned.points}))
        axis.tick_params(axis="x", labelsize=7, rotation=45)
        axis.set_xlabel("strength, as a multiple", fontsize=8)
        axis.set_ylabel("PSNR (dB)", fontsize=9)
        axis.set_title(on.task.label, fontsize=9)
        axis.legend(fontsize=7)
    return plots.save(drawn, stem)


def _t_start(done: Reproduction, stem: Path) -> Path:
    drawn, axes = plots.figure(2)
    x = [float(value) for value in T_START.values]
    for on, colour in zip(done.tasks, COLOURS, strict=False):
        for axis, metric in zip(axes, _METRICS, strict=True):
            plots.band(axis, x, on.t_start, metric, on.task.name, colour)
    for axis, label in zip(axes, _METRICS.values(), strict=True):
        axis.set_xlabel("t*", fontsize=8)
        axis.set_ylabel(label, fontsize=9)
        axis.legend(fontsize=7)
    return plots.save(drawn, stem)


def _ladder(done: Reproduction, stem: Path) -> Path:
    drawn, axes = plots.figure(2, 2)
    styles = iter(COLOURS)
    for on in done.tasks:
        for name, rungs in on.ladder.items():
            colour = next(styles)
            points = [
                Measured((n,), Estimate.of(r.by_image("psnr")), Estimate.of(r.by_image("lpips")), np.nan, r.calls)
                for n, r in rungs.items()
            ]
            for column, metric in enumerate(_METRICS):
                against = ([float(p.calls) for p in points], [seconds(done, r) for r in rungs.values()])
                for row, x in enumerate(against):
                    plots.band(axes[2 * row + column], x, points, metric, f"{name}, {on.task.name}", colour)
    took = [seconds(done, result) for result in done.tasks[0].ladder["DPS"].values()]
    for i, axis in enumerate(axes):
        plots.logarithmic(axis, (done.scope.ladder, took)[i // 2])
        axis.set_xlabel(("network calls", "seconds a picture")[i // 2], fontsize=8)
        axis.set_ylabel(list(_METRICS.values())[i % 2], fontsize=9)
    axes[0].legend(fontsize=7)
    return plots.save(drawn, stem)

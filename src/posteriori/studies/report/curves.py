"""The report's figures that are curves and bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes

from posteriori.metrics.intervals import Estimate
from posteriori.studies import plots
from posteriori.studies.plots import COLOURS
from posteriori.studies.report.experiment import Reproduction
from posteriori.studies.report.plan import LABELS, T_START
from posteriori.studies.report.tables import PUBLISHED, profile, seconds
from posteriori.studies.sweep import Measured
from posteriori.studies.tasks import SIGMA_Y

_METRICS = {"psnr": "PSNR (dB)", "lpips": "LPIPS"}


def _quartiles(axis: Axes, t: np.ndarray, values: np.ndarray, label: str, colour: str, style: str = "-") -> None:
    axis.plot(t, values[1], style, color=colour, label=label, lw=1.6)
    axis.fill_between(t, values[0], values[2], color=colour, alpha=0.15, lw=0)


def _over_time(axis: Axes, done: Reproduction, label: str, *, log: bool = True) -> None:
    axis.set_xlim(done.campaign.prior.schedule.end, 0)
    axis.set_xlabel("t", fontsize=8)
    axis.set_ylabel(label, fontsize=9)
    if log:
        axis.set_yscale("log")
    axis.legend(fontsize=7)


def bars(done: Reproduction, stem: Path) -> Path:
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


def gradient(done: Reproduction, stem: Path) -> Path:
    T, names = done.campaign.prior.schedule.end, ("|g|", "|r|", "2|r||g|")
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


def lengths(done: Reproduction, stem: Path) -> Path:
    T = done.campaign.prior.schedule.end
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


def along_the_path(done: Reproduction, stem: Path) -> Path:
    T = done.campaign.prior.schedule.end
    drawn, axes = plots.figure(2, len(done.tasks), height=2.7)
    for row, on in enumerate(done.tasks):
        operator = on.task.operator
        m = operator.observed_entries(operator(torch.zeros(1, *done.campaign.prior.shape))).shape[1]
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


def tuning(done: Reproduction, stem: Path) -> Path:
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


def t_start(done: Reproduction, stem: Path) -> Path:
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


def ladder(done: Reproduction, stem: Path) -> Path:
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

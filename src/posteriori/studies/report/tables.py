"""The report's tables: rows of metrics for CSV, and the same as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from posteriori.metrics.intervals import Estimate
from posteriori.studies.engine.store import Result
from posteriori.studies.report.experiment import OnTask, Reproduction, Tuned, paired
from posteriori.studies.report.plan import LABELS
from posteriori.studies.sweep import Measured
from posteriori.studies.table import Table
from posteriori.studies.tasks import T_DENOISE
from posteriori.studies.wording import counted

#: the report's table 1: PSNR (dB) and LPIPS by task and method, FFHQ-256, one image
PUBLISHED = {
    ("denoising", "single pass"): (32.72, 0.092),
    ("inpainting", "sdedit"): (20.18, 0.185),
    ("deconvolution", "scoreald"): (25.69, 0.163),
    ("deconvolution", "dps"): (28.76, 0.055),
}
DIGITS = {"psnr": 2, "ssim": 3, "lpips": 4}

Rows = list[dict[str, Any]]


def table_1(done: Reproduction) -> tuple[Rows, Table]:
    """Every method on both tasks. Seconds are only in the text, since they differ from run to run."""
    rows, cells = [], []
    for task, method, result in _results(done):
        metrics = {name: Estimate.of(result.by_image(name)) for name in DIGITS}
        rows.append(_row(done, task, method, result, metrics))
        published = PUBLISHED.get((task, method))
        took = seconds(done, result)
        cells.append(
            (
                LABELS.get(method, method),
                task,
                *(metrics[name].text(digits) for name, digits in DIGITS.items()),
                str(result.calls),
                f"{took:.1f}" if took >= 0.05 else "0.0",
                f"{published[0]} dB, {published[1]}" if published else "",
            )
        )
    n, size = metrics["psnr"].n, done.campaign.prior.shape[-1]
    note = (
        f"Mean over {n} pictures ({counted(len(done.seeds), 'seed')} each) and its 95% bootstrap "
        f"interval. Samplers take {done.scope.steps} of {done.campaign.prior.schedule.end} steps; the single pass is "
        f"at t = {T_DENOISE}. LPIPS is with AlexNet at {size} pixels, and not comparable with other sizes. The last "
        "column has the report's figures: FFHQ-256, 1000 steps, one image, no interval."
    )
    columns = ("method", "task", "PSNR (dB)", "SSIM", "LPIPS", "network calls", "seconds a picture", "in the report")
    return rows, Table("Table 1", note, columns, cells)


def _results(done: Reproduction) -> list[tuple[str, str, Result]]:
    found = [("denoising", "single pass", done.single_pass)]
    return found + [(on.task.name, name, result) for on in done.tasks for name, result in on.methods.items()]


def _row(done: Reproduction, task: str, method: str, result: Result, metrics: dict[str, Estimate]) -> dict[str, Any]:
    row: dict[str, Any] = {"task": task, "method": method, "n": metrics["psnr"].n, "seeds": len(done.seeds)}
    row["steps"] = done.scope.steps
    for name, estimate in metrics.items():
        row |= {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    hole, residual = (result.metrics[name].mean() for name in ("hole", "residual"))
    return row | {"psnr_in_hole": float(hole), "residual": float(residual), "network_calls": result.calls,
                  "sampler": result.run.method}  # fmt: skip


def seconds(done: Reproduction, result: Result) -> float:
    """Wall time of one restoration, its share of the batch."""
    return done.campaign.runs.seconds(result.run) / len(result.run.rows)


def timings(done: Reproduction) -> Rows:
    """Kept apart from the other tables, which are the same in every run on one machine."""
    return [
        {"task": task, "method": method, "seconds_a_picture": round(seconds(done, result), 4)}
        for task, method, result in _results(done)
    ]


def differences(done: Reproduction) -> tuple[Rows, Table]:
    """DPS minus ScoreALD, picture by picture."""
    rows, cells = [], []
    for on in done.tasks:
        found = {name: paired(on.methods["dps"], on.methods["scoreald"], name) for name in DIGITS}
        rows.append({"task": on.task.name, "n": found["psnr"].n} | _flat(found))
        cells.append((on.task.name, str(found["psnr"].n), *(e.text(DIGITS[name], "+") for name, e in found.items())))
    note = "Paired by picture, mean and 95% bootstrap interval. The report has +3.07 dB on deconvolution, on one image."
    columns = ("task", "n", *(name.upper() + " (dB)" * (name == "psnr") for name in DIGITS))
    return rows, Table("DPS minus ScoreALD", note, columns, cells)


def _flat(estimates: dict[str, Estimate]) -> dict[str, float]:
    row = {}
    for name, estimate in estimates.items():
        row |= {name: estimate.mean, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row


def ablation(done: Reproduction) -> tuple[Rows, Table]:
    """The four scalings of one gradient, each tuned with the same number of runs, and unit norm minus each."""
    rows, cells = [], []
    for on in done.tasks:
        unit = on.tuned[0]
        for tuned in on.tuned:
            psnr, lpips = (Estimate.of(tuned.result.by_image(name)) for name in ("psnr", "lpips"))
            gain = {name: paired(unit.result, tuned.result, name) for name in ("psnr", "lpips")}
            own = tuned is unit
            rows.append(
                {"task": on.task.name, "scaling": tuned.variant.name, "formula": tuned.variant.formula}
                | {"c": tuned.strength, "at_the_end_of_its_search": at_an_end(tuned), "runs": len(tuned.points)}
                | {"n": psnr.n, "n_tuning": len(done.tuning), "steps": done.scope.steps}
                | _flat({"psnr": psnr, "lpips": lpips})
                | ({} if own else _flat({f"unit_less_this_{name}": e for name, e in gain.items()}))
            )
            cells.append(
                (on.task.name, tuned.variant.formula, f"{tuned.strength:.3g}{' *' if at_an_end(tuned) else ''}")
                + (psnr.text(2), lpips.text(4))
                + (("", "") if own else (gain["psnr"].text(2, "+"), gain["lpips"].text(4, "+")))
            )
    note = (
        "g is the gradient of |r|, r = y - A(x0hat). All rows have the same noise. c was tuned for PSNR with "
        f"{len(done.tasks[0].tuned[0].points)} runs each on {len(done.tuning)} other pictures; a star marks a best c "
        f"at the end of the range tried. The figures are for {psnr.n} pictures at {done.scope.steps} steps. "
        "Differences are unit norm minus this row, paired by picture."
    )
    columns = ("task", "the step", "c", "PSNR (dB)", "LPIPS", "unit minus this, PSNR", "LPIPS")
    return rows, Table("The same gradient, scaled in four ways", note, columns, cells)


def at_an_end(tuned: Tuned) -> bool:
    """Whether the best strength is the smallest or largest that was tried."""
    return tuned.best in (min(tuned.points), max(tuned.points))


def search(done: Reproduction) -> Rows:
    """Every strength that was tried in the ablation."""
    return [
        {"task": on.task.name, "scaling": tuned.variant.name, "c": float(f"{tuned.variant.centre * 2**e:.4g}")}
        | _flat({"psnr": point.psnr, "lpips": point.lpips})
        | {"residual": point.residual, "n": point.psnr.n}
        for on in done.tasks
        for tuned in on.tuned
        for e, point in tuned.points.items()
    ]


def ladder(done: Reproduction) -> tuple[Rows, Table]:
    """DPS at fewer steps."""
    rows, cells = [], []
    for on in done.tasks:
        longest = longest_of(on)
        for name, rungs in on.ladder.items():
            for steps, result in rungs.items():
                metrics = {f: Estimate.of(result.by_image(f)) for f in ("psnr", "lpips")}
                lost = paired(result, longest, "psnr")
                row = {"task": on.task.name, "sampler": name, "steps": steps, "n": lost.n}
                same = result is longest
                rows.append(row | _flat(metrics) | ({} if same else _flat({"psnr_less_longest": lost})) |
                            {"network_calls": result.calls})  # fmt: skip
                cells.append(
                    (on.task.name, name, str(steps), metrics["psnr"].text(2), metrics["lpips"].text(4),
                     "" if same else lost.text(2, "+"), f"{seconds(done, result):.1f}")
                )  # fmt: skip
    note = (
        f"{lost.n} pictures, with the preset's scale for each number of steps. Differences are to DPS at "
        f"{max(done.scope.ladder)} steps, paired by picture."
    )
    columns = ("task", "sampler", "steps", "PSNR (dB)", "LPIPS", "PSNR minus the longest", "seconds a picture")
    return rows, Table("Fewer steps", note, columns, cells)


def longest_of(on: OnTask) -> Result:
    rungs = on.ladder["DPS"]
    return rungs[max(rungs)]


def sensitivity(done: Reproduction) -> tuple[Rows, Table]:
    """SDEdit's starting time; ScoreALD's endpoints are in the heat maps and the CSV."""
    rows, cells = [], []
    for on in done.tasks:
        axes, points = on.endpoints
        for point in points:
            fields = dict(zip((axis.name for axis in axes), point.at, strict=True))
            rows.append({"task": on.task.name, "sampler": "scoreald", **fields} | _point(point))
        for point in on.t_start:
            rows.append({"task": on.task.name, "sampler": "sdedit", "t_start": point.at[0]} | _point(point))
            cells.append((on.task.name, str(point.at[0]), point.psnr.text(2), point.lpips.text(4), str(point.calls)))
    note = f"{len(done.tuning)} pictures, {done.scope.steps} steps over the whole schedule."
    columns = ("task", "t*", "PSNR (dB)", "LPIPS", "network calls")
    return rows, Table("SDEdit's starting time", note, columns, cells)


def _point(point: Measured) -> dict[str, float]:
    return _flat({"psnr": point.psnr, "lpips": point.lpips}) | {"residual": point.residual, "n": point.psnr.n}


def gradients(done: Reproduction) -> Rows:
    """Medians and quartiles over pictures of |g|, |r|, 2 |r| |g| and the PSNR of x0hat at every step."""
    rows = []
    for on in done.tasks:
        for method in ("scoreald", "dps"):
            t, found = profile(on.methods[method], done.campaign.prior.schedule.end)
            for name, values in found.items():
                for i, time in enumerate(t):
                    low, median, high = values[:, i]
                    row = {"task": on.task.name, "method": method, "t": float(time), "quantity": name}
                    rows.append(row | {"median": median, "quartile_1": low, "quartile_3": high})
    return rows


def profile(result: Result, T: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """t (S,) at which each was measured, and (3, S) quartiles over rows of |g|, |r|, 2 |r| |g| and x0hat's PSNR."""
    trace = result.trace
    t = np.concatenate([[T], trace["t"][:-1]])  # a step's gradient is at the level that it starts from
    several = {
        "|g|": trace["gradient"],
        "|r|": trace["residual"],
        "2|r||g|": 2 * trace["residual"] * trace["gradient"],
        "PSNR of x0hat": trace["psnr"],
    }
    return t, {name: np.quantile(values, (0.25, 0.5, 0.75), axis=1) for name, values in several.items()}

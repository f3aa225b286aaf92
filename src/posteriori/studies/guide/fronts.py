"""Measures quality and cost of every sampler on four operators in several numbers of steps: faces-64, noise 0.05.

    python -m posteriori.studies.guide.fronts --data DATA --out OUT --page docs/fronts.md --verification out/verify

Writes the page, and to choosing.toml the samplers whose intervals score best. Those are chosen on the first 8 held-out
faces and measured again on 8 others. A stopped run resumes.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from posteriori.files import atomic_path
from posteriori.metrics.intervals import Estimate
from posteriori.sampler import Sampler
from posteriori.samplers import MALA
from posteriori.settings import choosing
from posteriori.settings.text import read_operator
from posteriori.studies import pareto
from posteriori.studies.guide.cells import (
    FEWER,
    LEVEL,
    METHODS,
    OPERATORS,
    PRIOR,
    Cell,
    arguments,
    cell,
    do,
    fewer,
    filled,
    left_out,
    read,
    write_choices,
)
from posteriori.studies.guide.uncertainty import Calibration
from posteriori.studies.plots import COLOURS, figure, logarithmic
from posteriori.studies.table import Table, write_csv
from posteriori.studies.tasks import SIGMA_Y

#: numbers of steps; in STEPS steps N samples are drawn of each face, and their intervals are scored
LADDER, N, STEPS = (10, 30, 100), 4, 30
#: these do not run in 100 steps, since they make many calls at every step
LONG = ("daps", "pnpdm", "repaint")
TUNING, TESTED = (0, 8), (32, 40)
#: how much worse than the best interval score still counts as equal, as a share
ENOUGH = 0.05
#: where a name may stand, in points right of and above its point
OFFSETS = [(right, up) for up in (9, -9, 18, -18, 27) for right in (0, 24, -24)]


@dataclass(frozen=True)
class Point:
    """The metrics of a sampler on an operator with a number of steps."""

    cls: type[Sampler]
    steps: int
    metrics: dict[str, np.ndarray]

    def mean(self, name: str) -> float:
        return float(self.metrics[name].mean())

    @property
    def text(self) -> str:
        """For ``restore --sampler``."""
        fields = FEWER.get(self.cls.name, {})
        return self.cls.name + (f"({', '.join(f'{k}={v}' for k, v in fields.items())})" if fields else "")


@dataclass(frozen=True)
class Recommended:
    """The sampler recommended on an operator for its intervals; ``tested`` has its metrics on the other faces."""

    operator: str
    point: Point
    tested: Point


def planned(operator: str, cls: type[Sampler], steps: int, faces: tuple[int, int]) -> Cell:
    return cell(cls, OPERATORS[operator], steps, faces, N if steps == STEPS else 1)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--verification", type=Path, required=True, help="folder that `posteriori verify` wrote")
    asked = parser.parse_args()
    candidates = [cls for cls in METHODS if cls is not MALA]
    rungs = [(cls, steps) for cls in candidates for steps in LADDER if steps < LADDER[-1] or cls.name not in LONG]
    cells = {(name, *rung): planned(name, *rung, TUNING) for name in OPERATORS for rung in rungs}
    do(list(cells.values()), asked.data, asked.out, asked.jobs)
    points: dict[str, list[Point]] = {name: [] for name in OPERATORS}
    for (name, cls, steps), own in cells.items():
        metrics = read(own, asked.out)
        if metrics and "psnr" in metrics:
            points[name].append(Point(cls, steps, metrics))
    chosen = [(name, pick(points[name])) for name in OPERATORS]
    tested = [planned(name, point.cls, point.steps, TESTED) for name, point in chosen]
    do(tested, asked.data, asked.out, asked.jobs)
    choices = []
    for (name, point), own in zip(chosen, tested, strict=True):
        metrics = read(own, asked.out)
        if not metrics or "psnr" not in metrics:
            raise SystemExit(f"{own.sampler} was chosen for {name}, and reached NaN on the other faces")
        choices.append(Recommended(name, point, Point(point.cls, point.steps, metrics)))
    pictures = asked.page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    for name, own in points.items():
        fronts_figure(own, pictures / f"{name}.png")
    write_csv([row(name, point) for name in OPERATORS for point in points[name]], pictures / "fronts.csv")
    distances = read_distances(asked.verification)
    with atomic_path(asked.page) as path:
        path.write_text(page(points, choices, distances, pictures.name), "utf-8")
    write_choices([entry(choice) for choice in choices], asked.out)


def pick(points: Sequence[Point]) -> Point:
    """Among those whose intervals score as well as the best, the one whose coverage is nearest to LEVEL.

    Particle methods are left out, since their results depend on the number of samples.
    """
    able = [point for point in points if not point.cls.interacting and "interval_score" in point.metrics]
    least = min(point.mean("interval_score") for point in able)
    good = [point for point in able if point.mean("interval_score") <= least * (1 + ENOUGH)]
    return min(good, key=lambda point: abs(coverage(point) - LEVEL))


def coverage(point: Point) -> float:
    return float(calibration("", point).coverage(LEVEL).mean())


def front(points: Sequence[Point], cost: str, metric: str) -> list[Point]:
    """The Pareto front: points that none at most as costly beats, from cheap to dear."""
    sign = -1 if metric == "lpips" else 1
    return pareto.front(points, lambda point: point.mean(cost), lambda point: sign * point.mean(metric))


def calibration(name: str, point: Point) -> Calibration:
    return Calibration(point.cls.name, name, "", point.metrics, point.metrics)


def row(name: str, point: Point) -> dict[str, float | str]:
    """A row of the CSV."""
    found: dict[str, float | str] = {"operator": name, "sampler": point.text, "steps": point.steps}
    for metric in ("calls", "vjps", "seconds", "psnr", "lpips", "residual"):
        found[metric] = point.mean(metric)
    if "z" in point.metrics:
        found["interval_score"] = point.mean("interval_score")
        found["coverage"] = coverage(point)
    return found


def read_distances(folder: Path) -> dict[str, str]:
    """Distance over floor on the mixture, d = 8 and d_y = 1, at 100 steps, by the sampler's name."""
    with (folder / "verification.csv").open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["problem"] == "grid d=8 d_y=1" and r["statistic"] == "distance"]
    return {r["method"]: f"{float(r['mean']) / float(r['floor']):.2g}" for r in rows if r["steps"] == "100"}


def fronts_figure(points: Sequence[Point], path: Path) -> None:
    """PSNR and LPIPS against seconds and network calls; the fronts are joined and named."""
    drawn, axes = figure(2, 2, width=5.2, height=3.8)
    panels = [(metric, cost) for metric in ("psnr", "lpips") for cost in ("seconds", "calls")]
    for panel, (metric, cost) in zip(axes, panels, strict=True):
        _front_panel(panel, points, cost, metric)
    drawn.draw_without_rendering()  # so that the panels have their sizes, and labels can keep clear of each other
    for panel, (metric, cost) in zip(axes, panels, strict=True):
        _name(panel, front(points, cost, metric), cost, metric)
    with atomic_path(path) as temporary:
        drawn.savefig(temporary, metadata={"Software": None})


def _front_panel(panel: Axes, points: Sequence[Point], cost: str, metric: str) -> None:
    best = front(points, cost, metric)
    panel.plot([p.mean(cost) for p in points], [p.mean(metric) for p in points], "o", color="#999999", ms=3, alpha=0.7)
    panel.plot([p.mean(cost) for p in best], [p.mean(metric) for p in best], "o-", color=COLOURS[1], ms=4, lw=1.4)
    costs = [point.mean(cost) for point in points]
    decades = [base * 10.0**k for k in range(-2, 4) for base in (1, 3)]
    logarithmic(panel, [tick for tick in decades if min(costs) <= tick <= max(costs)])
    if metric == "lpips":
        panel.set_yscale("log")
        ticks = [base * 10.0**k for k in range(-4, 1) for base in (1, 2, 5)]
        values = [point.mean(metric) for point in points]
        panel.set_yticks([t for t in ticks if min(values) * 0.8 <= t <= max(values) * 1.2])
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        panel.minorticks_off()
    else:  # without the worst, which would squeeze the best into a line
        values = sorted(point.mean(metric) for point in points)
        panel.set_ylim(values[len(values) // 4] - 1, values[-1] + 0.7)
    panel.set_xlabel("seconds of one core for a sample" if cost == "seconds" else "network calls for a sample")
    panel.set_ylabel("PSNR (dB)" if metric == "psnr" else "LPIPS")


def _name(panel: Axes, best: Sequence[Point], cost: str, metric: str) -> None:
    """Writes its name beside each point in view, where it hides no point of the front and no other name."""
    at = [(point.mean(cost), point.mean(metric)) for point in best]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in panel.transData.transform(at)]
    inside = panel.get_window_extent()
    for point, where, dot in zip(best, at, list(taken), strict=True):
        if dot.y0 < inside.y0:
            continue
        text = panel.annotate(f"{point.cls.name} {point.steps}", where, (0, 0), textcoords="offset points", fontsize=7,
                              ha="center", va="center", bbox={"fc": "w", "lw": 0, "pad": 0, "alpha": 0.8})  # fmt: skip
        for offset in OFFSETS if metric == "psnr" else [(right, -up) for right, up in OFFSETS]:
            text.set_position(offset)
            box = text.get_window_extent()
            if box.x0 > inside.x0 and box.y0 > inside.y0 and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)


def page(
    points: dict[str, list[Point]], choices: Sequence[Recommended], distances: dict[str, str], pictures: str
) -> str:
    text = INTRODUCTION.format(
        prior=PRIOR, fewer=fewer(), tested=TESTED[1] - TESTED[0], tuning=TUNING[1], n=N, steps=STEPS, level=LEVEL,
        ladder=", ".join(map(str, LADDER)), enough=ENOUGH, left_out=left_out(),
    )  # fmt: skip
    parts = [filled(text), recommended(choices).markdown()]
    for name, own in points.items():
        alt = f"PSNR and LPIPS of every sampler on {name}, against seconds and network calls."
        parts += [f"## {name.capitalize()}: `{OPERATORS[name]}`", f"![{alt}]({pictures}/{name}.png)"]
        parts += [filled(FRONT.format(n=N, steps=STEPS, tuning=TUNING[1])), fronts(name, own, distances).markdown()]
    return "\n\n".join(parts) + "\n"


def recommended(choices: Sequence[Recommended]) -> Table:
    columns = ("operator", "sampler", "steps", "PSNR", "LPIPS", f"coverage of {LEVEL:.0%}", "calls", "vjps")
    rows = []
    for choice in choices:
        tested = choice.tested
        covers = ""
        if "z" in tested.metrics:
            covers = Estimate.of(calibration(choice.operator, tested).coverage(LEVEL)).text(3)
        psnr, lpips = (Estimate.of(tested.metrics[name]) for name in ("psnr", "lpips"))
        cost = (f"{tested.mean('calls'):.0f}", f"{tested.mean('vjps'):.0f}", f"{tested.mean('seconds'):.2g}")
        rows.append((choice.operator, f"`{choice.point.text}`", str(choice.point.steps), psnr.text(2),
                     lpips.text(4), covers, *cost))  # fmt: skip
    return Table("", "", (*columns, "seconds"), rows)


def fronts(name: str, points: Sequence[Point], distances: dict[str, str]) -> Table:
    """The points on a front of PSNR or LPIPS against seconds or calls, and their calibration."""
    scored = {p.cls.name: p for p in points if "z" in p.metrics}
    fronted = {
        id(p) for cost in ("seconds", "calls") for metric in ("psnr", "lpips") for p in front(points, cost, metric)
    }
    columns = ("sampler", "steps", "seconds", "network calls", "vjps", "PSNR (dB)", "LPIPS", f"coverage of {LEVEL:.0%}",
               "interval score", "distance over floor")  # fmt: skip
    rows = []
    for point in sorted(points, key=lambda p: p.mean("seconds")):
        if id(point) not in fronted:
            continue
        score = scored.get(point.cls.name)
        intervals = (f"{coverage(score):.2f}", f"{score.mean('interval_score'):.3f}") if score else ("", "")
        rows.append((point.cls.name, str(point.steps), f"{point.mean('seconds'):.2g}", f"{point.mean('calls'):.0f}",
                     f"{point.mean('vjps'):.0f}", f"{point.mean('psnr'):.2f}", f"{point.mean('lpips'):.4f}", *intervals,
                     distances.get(point.cls.name, "")))  # fmt: skip
    return Table("", "", columns, rows)


def entry(choice: Recommended) -> choosing.Choice:
    """The entry of choosing.toml."""
    tested = choice.tested
    covered = calibration(choice.operator, tested).coverage(LEVEL).mean()
    why = f"{TESTED[1] - TESTED[0]} held-out faces: {tested.mean('psnr'):.2f} dB, LPIPS {tested.mean('lpips'):.4f}, "
    return choosing.Choice(
        "uncertainty",
        PRIOR,
        read_operator(OPERATORS[choice.operator]).name,
        SIGMA_Y,
        choice.point.text,
        choice.point.steps,
        f"{why}{covered:.0%} in {LEVEL:.0%} intervals",
    )


INTRODUCTION = """
# Quality against cost

This page measures every sampler on four operators, in {ladder} steps, with the prior {prior} and noise of sigma 0.05.
Settings are those of `presets.toml`; to save time some inner steps are reduced ({fewer}). The pictures are the {tuning}
held-out faces that are kept for tuning. [Choosing](choosing.md) lists what `auto` takes for each prior and noise.

The first table lists what `auto:uncertainty` takes. Candidates are the samplers within {enough:.0%} of the best
interval score. The one whose {level:.0%} intervals (from {n} samples, in {steps} steps) have the coverage nearest to
{level:.0%} is chosen. The figures are from {tested} other faces that were not used for tuning, with 95% bootstrap
intervals. The interval score is the width plus a penalty where the truth lies outside (Gneiting and Raftery 2007, eq.
43).

TDS and MCGDiff are in the tables but not recommended, since their results depend on the number of samples. MALA is left
out, since its steps cost about ten times as much; its results are in [uncertainty](uncertainty.md). {left_out} make 5
to 20 network calls or gradients a step, and were not measured here. Seconds are for one sample on one core, in
bfloat16.
"""
FRONT = (
    "The table has the Pareto-optimal settings: no other setting is as cheap and better in PSNR or LPIPS. Coverage "
    "and interval score are of {n} samples in {steps} steps, on {tuning} faces. The last column is the distance to "
    "the exact posterior of a mixture, where 1 is exact ([verification](verification.md))."
)

if __name__ == "__main__":
    main()

"""How far the samplers' credible intervals can be trusted: writes the page, its pictures and its table.

    python -m posteriori.studies.guide.uncertainty --data DATA --out out/guide --page docs/uncertainty.md

Factors are fitted on the first 8 held-out faces and tested on 16 others. A stopped run resumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from posteriori.files import atomic_path
from posteriori.metrics import t_quantile
from posteriori.metrics.intervals import Estimate
from posteriori.sampler import Sampler
from posteriori.samplers import DPS, DiffPIR
from posteriori.studies.guide.cells import (
    EDGES,
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
)
from posteriori.studies.plots import COLOURS, figure
from posteriori.studies.table import Table, write_csv

TASKS = ("inpainting", "deconvolution")
STEPS, N = 30, 4
TUNING, REPORTED, FIRST = (0, 8), (32, 48), (32, 40)
#: to save time, samplers that make several calls or gradients at every step run on half of the faces
SEVERAL = ("annealed-langevin", "daps", "mala", "mmps", "pnpdm", "repaint", "tmpd")
FEWER_FACES = (32, 40)
#: the coverage at LEVEL that counts as correct
RIGHT = (0.85, 0.95)
#: measured again with more steps, on the first of the reported faces
AGAIN, MORE = (DPS, DiffPIR), 100
LEVELS = np.linspace(0.02, 0.98, 49)


@dataclass(frozen=True)
class Calibration:
    """The |z| of one sampler on one task: histograms (F, 2, bins) of the reported faces and of the tuning ones."""

    name: str
    task: str
    sampler: str
    metrics: dict[str, np.ndarray]
    tuning: dict[str, np.ndarray]

    @cached_property
    def part(self) -> int:
        """Which pixels count: those that the mask hides (1), or all of them if it hides none (0)."""
        return int(self.metrics["z"][:, 1].sum() > 0)

    @cached_property
    def factor(self) -> float:
        """What intervals at LEVEL must be multiplied by to cover that share of the tuning faces."""
        counts = self.tuning["z"][:, self.part].sum(0)
        at = int(np.searchsorted(counts.cumsum() / counts.sum(), LEVEL))
        return float(EDGES[at] / t_quantile(LEVEL, N)) if at < len(EDGES) else np.inf

    def coverage(self, level: float, widen: float = 1.0, part: int | None = None) -> np.ndarray:
        """The coverage on every reported face, (F,)."""
        counts = self.metrics["z"][:, self.part if part is None else part]
        inside = counts.cumsum(1)[:, : len(EDGES)] / counts.sum(1, keepdims=True)
        return np.array([np.interp(widen * t_quantile(level, N), EDGES, row) for row in inside])

    @cached_property
    def right(self) -> bool:
        return RIGHT[0] <= self.coverage(LEVEL).mean() <= RIGHT[1]


def planned(task: str, cls: type[Sampler], steps: int, faces: tuple[int, int]) -> Cell:
    return cell(cls, OPERATORS[task], steps, faces, N)


def reported(cls: type[Sampler]) -> tuple[int, int]:
    return FEWER_FACES if cls.name in SEVERAL else REPORTED


def main() -> None:
    parser = arguments(__doc__)
    asked = parser.parse_args()
    pairs = [(task, cls) for task in TASKS for cls in METHODS if not cls.point]
    cells = [planned(task, cls, STEPS, faces) for task, cls in pairs for faces in (TUNING, reported(cls))]
    again = [planned(task, cls, MORE, FIRST) for task in TASKS for cls in AGAIN]
    do([*cells, *again], asked.data, asked.out, asked.jobs)
    found, diverged = [], []
    for task, cls in pairs:
        own = planned(task, cls, STEPS, reported(cls))
        metrics, tuning = read(own, asked.out), read(planned(task, cls, STEPS, TUNING), asked.out)
        if metrics and tuning and "z" in metrics and "z" in tuning:
            found.append(Calibration(cls.name, task, own.sampler, metrics, tuning))
        else:
            diverged.append(f"{cls.name} on {task}")
    steps = [(task, cls.name, read(planned(task, cls, MORE, FIRST), asked.out)) for task in TASKS for cls in AGAIN]
    pictures = asked.page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        curves([c for c in found if c.task == task], pictures / f"{task}.png")
    write_csv([row(c) for c in found], pictures / "uncertainty.csv")
    with atomic_path(asked.page) as path:
        path.write_text(page(found, diverged, steps, pictures.name), "utf-8")


def row(c: Calibration) -> dict[str, float | str]:
    """A row of the CSV."""
    f = c.metrics
    return {
        "sampler": c.name,
        "task": c.task,
        "steps": STEPS,
        "coverage": c.coverage(LEVEL).mean(),
        "factor": c.factor,
        "coverage_widened": c.coverage(LEVEL, c.factor).mean() if np.isfinite(c.factor) else np.nan,
        "faces": len(f["psnr"]),
        "interval_score": f["interval_score"].mean(),
        "std": float(np.sqrt((f["std"][:, c.part] ** 2).mean())),
        "psnr": f["psnr"].mean(),
        "psnr_mean": f["psnr_mean"].mean(),
        "residual": f["residual"].mean(),
    }


def table(found: Sequence[Calibration], task: str) -> Table:
    masked = task == "inpainting"
    columns = ["sampler", "faces", f"coverage of {LEVEL:.0%} intervals", "factor", "coverage, widened"]
    columns += ["where A sees"] if masked else []
    columns += ["interval score", "standard deviation", "PSNR of a sample", f"PSNR of the mean of {N}", "residual"]
    rows = []
    for c in sorted(found, key=lambda c: c.metrics["interval_score"].mean()):
        if c.task != task:
            continue
        own, f = row(c), c.metrics
        cells = [f"**{c.name}**" if c.right else c.name, str(len(f["psnr"])), Estimate.of(c.coverage(LEVEL)).text(3)]
        widened = Estimate.of(c.coverage(LEVEL, c.factor)).text(3) if np.isfinite(c.factor) else ""
        cells += [f"{c.factor:.2f}" if widened else "none", widened]
        cells += [f"{c.coverage(LEVEL, part=0).mean():.3f}"] if masked else []
        cells += [f"{own[name]:.3f}" for name in ("interval_score", "std")]
        cells += [f"{own[name]:.2f}" for name in ("psnr", "psnr_mean", "residual")]
        rows.append(tuple(cells))
    return Table("", "", tuple(columns), rows)


def curves(found: Sequence[Calibration], path: Path) -> None:
    """Coverage against level, a panel for each sampler: as found, and widened by the factor of the tuning faces."""
    drawn, axes = figure(4, -(-len(found) // 4), width=2.3, height=2.1)
    for panel, c in zip(axes, found, strict=False):
        panel.plot([0, 1], [0, 1], color="#999999", lw=0.8, ls=":")
        widened = [(c.factor, COLOURS[1], "--")] if np.isfinite(c.factor) else []
        for widen, colour, style in [(1.0, COLOURS[0], "-"), *widened]:
            covered = np.array([c.coverage(level, widen) for level in LEVELS])
            panel.plot(LEVELS, covered.mean(1), style, color=colour, lw=1.6)
            low, high = np.quantile(covered, (0.1, 0.9), axis=1)
            if widen == 1:
                panel.fill_between(LEVELS, low, high, color=colour, alpha=0.15, lw=0)
        panel.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        panel.set_title(c.name + (f", x {c.factor:.2f}" if np.isfinite(c.factor) else ""), fontsize=9)
    for panel in axes[len(found) :]:
        panel.set_visible(False)
    drawn.supxlabel("level of the interval", fontsize=9)
    drawn.supylabel("share of pixels whose truth is inside", fontsize=9)
    with atomic_path(path) as temporary:
        drawn.savefig(temporary, metadata={"Software": None})


def page(
    found: Sequence[Calibration],
    diverged: Sequence[str],
    steps: Sequence[tuple[str, str, dict[str, np.ndarray] | None]],
    pictures: str,
) -> str:
    sections = []
    for task in TASKS:
        own = [c for c in found if c.task == task]
        where = "inside the box" if task == "inpainting" else "everywhere"
        alt = f"Coverage of every sampler on {task}, against the level."
        sections += [f"## {task.capitalize()}", filled(verdict(own, where)), table(found, task).markdown()]
        sections += [f"![{alt}]({pictures}/{task}.png)"]
    compared = more_steps(found, steps)
    text = INTRODUCTION.format(
        prior=PRIOR,
        steps=STEPS,
        n=N,
        tuning=TUNING[1],
        reported=REPORTED[1] - REPORTED[0],
        level=LEVEL,
        fewer=fewer(),
        left_out=left_out(),
    )
    further = ["## Does the factor hold with more steps?", filled(MORE_STEPS.format(more=MORE, steps=STEPS)), compared]
    parts = [filled(text), *sections, *further]
    if diverged:
        parts.append(filled(f"Left out because they reached NaN: {', '.join(diverged)}."))
    return "\n\n".join(parts) + "\n"


def verdict(own: Sequence[Calibration], where: str) -> str:
    right = [c.name for c in own if c.right]
    narrow = [f"{c.name} ({factor(c)})" for c in own if c.coverage(LEVEL).mean() < RIGHT[0]]
    wide = [f"{c.name} ({factor(c)})" for c in own if c.coverage(LEVEL).mean() > RIGHT[1]]
    after = [c.name for c in own if not c.right and RIGHT[0] <= c.coverage(LEVEL, c.factor).mean() <= RIGHT[1]]
    text = f"Coverage {where}. Correct as they are, covering {RIGHT[0]:.0%} to {RIGHT[1]:.0%}: {listed(right)}. "
    text += f"Too narrow (factor needed): {listed(narrow)}. Too wide (factor): {listed(wide)}. "
    return text + f"Correct once multiplied by their factor: {listed(after)}."


def factor(c: Calibration) -> str:
    return f"{c.factor:.2g}" if np.isfinite(c.factor) else "none helps"


def listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def more_steps(found: Sequence[Calibration], steps: Sequence[tuple[str, str, dict[str, np.ndarray] | None]]) -> str:
    """The table of coverage with STEPS and with MORE steps, on the first reported faces."""
    by = {(c.task, c.name): c for c in found}
    faces, rows = FIRST[1] - FIRST[0], []
    for task, name, metrics in steps:
        c = by.get((task, name))
        if c is None or metrics is None or "z" not in metrics:
            continue
        longer = Calibration(name, task, "", metrics, c.tuning)
        few, many = c.coverage(LEVEL)[:faces].mean(), longer.coverage(LEVEL).mean()
        psnrs = (c.metrics["psnr"][:faces].mean(), metrics["psnr"].mean())
        rows.append((task, name, f"{few:.3f}", f"{many:.3f}", *(f"{value:.2f}" for value in psnrs)))
    columns = ("task", "sampler", f"coverage, {STEPS} steps", f"coverage, {MORE}", f"PSNR, {STEPS}", f"PSNR, {MORE}")
    return Table("", "", columns, rows).markdown()


INTRODUCTION = """
# Whose intervals can be trusted?

`restore --samples 8 --interval 0.9` writes an interval for every pixel: mean ± t · std · sqrt(1 + 1/n), with t of
Student's distribution. If the samples are from the posterior and it is Gaussian, the interval holds the true value with
a probability of 0.9, for any n from 2 on. With `--simulate` the coverage is reported: the share of pixels whose true
value is inside. This page reports it for every sampler.

**Setting.** The prior is {prior}, with noise of sigma 0.05, on {reported} held-out faces that were not used for tuning.
Each sampler draws {n} samples in {steps} steps, with the settings of `presets.toml`. To save time, some inner steps are
reduced ({fewer}), and samplers that make several calls or gradients a step run on half of the faces. {left_out}, which
make 5 to 20, were not measured. DPIR is a point estimate without intervals. TDS and MCGDiff draw the {n} samples
together, as {n} particles. That is far too few for pictures: most are copies of one particle, and their intervals are
nearly empty.

The coverage combines the errors of sampler and prior. Exact posterior samples under an imperfect prior would miss too.
[Verification](verification.md) measures the samplers' errors alone.

**Columns.** The factor is what intervals must be multiplied by to cover {level:.0%}. It was fitted on {tuning} other
faces and is tested here. It holds for this prior, these tasks and this number of steps;
`restore --interval 0.9 --widen FACTOR` applies it. Samplers in bold need no factor. Coverage alone is not enough, since
very wide intervals cover everything. The tables are therefore sorted by the interval score: the width plus 20 times the
distance by which the truth lies outside, averaged over all pixels. The posterior's own intervals minimise it (Gneiting
and Raftery 2007, eq. 43). Brackets are 95% bootstrap intervals over faces. The residual is
|y - A x| / (sigma sqrt(m)), 1 for the truth. A sampler far below 1 has fitted the noise, and its intervals are too
narrow where A observes pixels. In the figures the solid curve is the coverage as measured (shaded: 80% of the faces),
and the dashed one is widened.
"""

MORE_STEPS = """
The first of those faces again with {more} steps instead of {steps}. A factor holds for its own number of steps only.
"""

if __name__ == "__main__":
    main()

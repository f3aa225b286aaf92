"""Measures which sampler to take for each prior, operator and noise; writes choosing.toml and the page.

    python -m posteriori.studies.guide.choosing --data DATA --out out/choosing --page docs/choosing.md

Candidates are measured on held-out pictures. The choices, and the best in PSNR, are measured again on other pictures,
as is a classical method that is tuned with the truth known. A stopped run resumes. Run it again when a prior's weights
change: OUT/choosing.toml then replaces the one in settings/.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from posteriori.files import atomic_path
from posteriori.likelihoods import Gaussian
from posteriori.metrics import lpips, psnr
from posteriori.metrics.intervals import Estimate
from posteriori.operators import Identity
from posteriori.settings import choosing
from posteriori.settings.text import parse_operator, read_operator, read_sampler
from posteriori.studies.evaluation.denoising import network_call
from posteriori.studies.guide.cells import OPERATORS, Cell, do, filled, network, read, write_choices
from posteriori.studies.guide.classical import classical
from posteriori.studies.guide.heldout import held_out
from posteriori.studies.plots import COLOURS, figure, logarithmic
from posteriori.studies.table import Table, write_csv

NOISES = (0.05, 0.01, 0.2)
#: the side at which each prior is measured, in pixels
PRIORS = {"photo": 128, "faces-64": 64, "faces-128": 128}
BAYES, CAUTIOUS, DDRM = "diffpir(lambda_=1.0, zeta=1.0)", "diffpir(lambda_=3.0, zeta=1.0)", "ddrm(eta=0.85)"
DPIR = "dpir(lambda_=0.23, sigma_max=0.384, sigma_min=0.01)"
#: starts at a noise level that is high enough to fill a hole
DPIR_FROM_AFAR = "dpir(lambda_=0.23, sigma_max=2.0, sigma_min=0.01)"
#: (sampler, steps) on each operator
CANDIDATES = {
    "inpainting": ((BAYES, 30), (CAUTIOUS, 30), (DDRM, 30), (DDRM, 100), (DPIR_FROM_AFAR, 20)),
    "denoising": ((BAYES, 30), (CAUTIOUS, 30), (DDRM, 30), (DDRM, 100)),
    "deconvolution": ((BAYES, 30), (BAYES, 100), (CAUTIOUS, 30), (DDRM, 30), (DPIR, 16)),
    "super-resolution": ((BAYES, 30), (BAYES, 100), (CAUTIOUS, 30), (DDRM, 30), (DPIR, 16)),
}
#: the held-out pictures for choosing, and those for testing
CHOOSING = {"photo": (0, 8), "faces-64": (0, 8), "faces-128": (0, 3)}
TESTED = {"photo": (8, 14), "faces-64": (32, 40), "faces-128": (32, 35)}
#: the highest noise for which a point estimate is a candidate: on a blurred photograph at 0.05, DPIR's has 0.1 dB
#: more than DiffPIR's, but a much higher LPIPS and a visible hatched pattern
POINT_UP_TO = 0.01
#: how much worse than the best still counts as equal: dB for fidelity, a share of LPIPS for looks
ENOUGH = {"fidelity": 0.1, "looks": 0.05}

#: what one noisy picture is restored with
ONE_CALL = (choosing.DENOISER, 1)

Metrics = dict[str, np.ndarray]
#: a sampler's text and its number of steps
Setting = tuple[str, int]


@dataclass(frozen=True)
class Problem:
    """A prior, an operator by the page's name, and a noise on [-1, 1]."""

    prior: str
    operator: str
    sigma: float

    @property
    def candidates(self) -> list[Setting]:
        """Point estimates only at low noise; for faces-128 at most 30 steps, to save time."""
        own = [c for c in CANDIDATES[self.operator] if self.prior != "faces-128" or c[1] <= 30]
        return [c for c in own if self.sigma <= POINT_UP_TO or not is_point(c)]

    def cell(self, setting: Setting, pictures: tuple[int, int]) -> Cell:
        (name, _, fields), steps = setting[0].partition("("), setting[1]
        text = f"{name}(steps={steps}, {fields}"
        return Cell(OPERATORS[self.operator], text, pictures, 1, self.sigma, self.prior, PRIORS[self.prior])


@dataclass(frozen=True)
class Result:
    """The choices for a problem by goal, the best in PSNR, and the metrics of both on the test pictures.

    ``drawn`` are the choices among samplers whose samples differ. ``chosen`` are those for a single restoration: one
    call for denoising, and for fidelity a point estimate if that is best.
    """

    problem: Problem
    found: dict[Setting, Metrics]
    drawn: dict[str, Setting]
    chosen: dict[str, Setting]
    best: Setting
    tested: dict[Setting, Metrics]
    measurement: np.ndarray
    classical: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip and bsds500-train")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the results")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--priors", nargs="+", default=list(PRIORS), choices=list(PRIORS))
    asked = parser.parse_args()
    problems = [Problem(p, o, s) for p in asked.priors for s in NOISES for o in OPERATORS]
    tried = {(p, c): p.cell(c, CHOOSING[p.prior]) for p in problems for c in p.candidates}
    do(list(tried.values()), asked.data, asked.out, asked.jobs)
    found = {p: {c: _read(tried[p, c], asked.out) for c in p.candidates} for p in problems}
    chosen = {p: picks(found[p]) for p in problems}
    again = [p.cell(c, TESTED[p.prior]) for p in problems for c in chosen[p].values()]
    do(again, asked.data, asked.out, asked.jobs)
    results = [result(p, found[p], chosen[p], asked.data, asked.out) for p in problems]
    pictures = asked.page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    for prior in asked.priors:
        drawing([r for r in results if r.problem.prior == prior], pictures / f"{prior}.png")
    write_csv([row for r in results for row in rows(r)], pictures / "choosing.csv")
    with atomic_path(asked.page) as path:
        path.write_text(page(results, pictures.name), "utf-8")
    write_choices([own for r in results for own in entries(r)], asked.out)


def _read(own: Cell, out: Path) -> Metrics:
    metrics = read(own, out)
    assert metrics is not None, own
    return metrics


def best(found: dict[Setting, Metrics]) -> Setting:
    return max((c for c in found if "psnr" in found[c]), key=lambda c: found[c]["psnr"].mean())


def is_point(setting: Setting) -> bool:
    return read_sampler(setting[0]).cls.point


def picks(found: dict[Setting, Metrics]) -> dict[str, Setting]:
    """The choices by goal. The estimate for fidelity may be any candidate; for the others, samples must differ."""
    drawn = {c: metrics for c, metrics in found.items() if not is_point(c)}
    own = {goal: pick(goal, drawn) for goal in ENOUGH}
    return own | {choosing.ESTIMATE: pick("fidelity", found), "best": best(found)}


def pick(goal: str, found: dict[Setting, Metrics]) -> Setting:
    """The setting with the fewest network calls among those as good as the best in PSNR or in LPIPS.

    Ties are broken by the residual nearest to 1: the others have fitted the measurement's noise.
    """
    able = {c: f for c, f in found.items() if "psnr" in f}  # the others diverged
    if goal == "fidelity":
        least = max(f["psnr"].mean() for f in able.values()) - ENOUGH[goal]
        good = [c for c, f in able.items() if f["psnr"].mean() >= least]
    else:
        most = min(f["lpips"].mean() for f in able.values()) * (1 + ENOUGH[goal])
        good = [c for c, f in able.items() if f["lpips"].mean() <= most]
    return min(good, key=lambda c: (able[c]["calls"], abs(able[c]["residual"].mean() - 1)))


def result(p: Problem, found: dict[Setting, Metrics], chosen: dict[str, Setting], data: Path, out: Path) -> Result:
    truth = held_out(p.prior, data, slice(*TESTED[p.prior]), PRIORS[p.prior])
    operator = parse_operator(OPERATORS[p.operator], tuple(truth.shape[1:]))
    y = Gaussian.simulate(truth, operator, p.sigma).y
    shown = F.interpolate(y, truth.shape[-2:], mode="bicubic") if y.shape != truth.shape else y
    tested = {c: _read(p.cell(c, TESTED[p.prior]), out) for c in chosen.values()}
    goals = {goal: c for goal, c in chosen.items() if goal in ENOUGH}
    one = goals | {"fidelity": chosen[choosing.ESTIMATE]}
    if isinstance(operator, Identity):
        tested[ONE_CALL] = denoised(p, y, truth)
        one = dict.fromkeys(goals, ONE_CALL)
    unaided = classical(operator, y, truth, p.sigma)
    if is_point(chosen[choosing.ESTIMATE]):
        goals[choosing.ESTIMATE] = chosen[choosing.ESTIMATE]
    return Result(p, found, goals, one, chosen["best"], tested, psnr(shown, truth).numpy(), unaided)


def denoised(p: Problem, y: Tensor, truth: Tensor) -> Metrics:
    """The metrics of one call of the denoiser."""
    prior = network(p.prior, PRIORS[p.prior])
    x = network_call(prior)(y, prior.schedule.at_noise(p.sigma))
    return {"psnr": psnr(x, truth).numpy(), "lpips": lpips(x, truth).numpy(), "calls": np.array(1.0)}


def rows(r: Result) -> Iterator[dict[str, float | str]]:
    """Rows of the CSV: every candidate on the pictures for choosing."""
    p = r.problem
    for (sampler, steps), f in r.found.items():
        row = {"prior": p.prior, "operator": p.operator, "noise": p.sigma, "sampler": sampler, "steps": steps}
        names = [name for name in ("psnr", "lpips", "residual", "calls", "vjps", "seconds") if name in f]
        yield row | {name: float(f[name].mean()) for name in names}


def drawing(results: Sequence[Result], path: Path) -> None:
    """Plots PSNR on the test pictures against the noise, one panel per operator."""
    drawn, axes = figure(2, len(OPERATORS) // 2, height=2.8)
    for panel, operator in zip(axes, OPERATORS, strict=True):
        own = sorted((r for r in results if r.problem.operator == operator), key=lambda r: r.problem.sigma)
        noises = [r.problem.sigma for r in own]
        lines = {
            "measurement": [r.measurement.mean() for r in own],
            "classical, tuned with the truth": [r.classical.mean() for r in own],
            "auto": [r.tested[r.chosen["fidelity"]]["psnr"].mean() for r in own],
        }
        for (label, values), colour in zip(lines.items(), ("#999999", COLOURS[0], COLOURS[1]), strict=True):
            panel.plot(noises, values, "o-", color=colour, label=label, ms=4, lw=1.4)
        logarithmic(panel, noises)
        panel.set_title(operator, fontsize=9)
        panel.set_xlabel("noise sigma on [-1, 1]")
    for panel in axes[::2]:
        panel.set_ylabel("PSNR (dB)")
    axes[0].legend(fontsize=8, frameon=False, loc="lower left")  # the curves fall, so this corner is free
    with atomic_path(path) as temporary:
        drawn.savefig(temporary, metadata={"Software": None})


def page(results: Sequence[Result], pictures: str) -> str:
    parts = [filled(INTRODUCTION.format(**ENOUGH))]
    for prior in dict.fromkeys(r.problem.prior for r in results):
        own = [r for r in results if r.problem.prior == prior]
        own.sort(key=lambda r: (list(OPERATORS).index(r.problem.operator), r.problem.sigma))
        alt = f"PSNR of auto, of a classical method and of the measurement with {prior}, against the noise."
        chose, tested = (end - first for first, end in (CHOOSING[prior], TESTED[prior]))
        counts = f"The settings were chosen on {chose} pictures. The tables are for {tested} other pictures."
        parts += [f"## {prior}, {PRIORS[prior]} pixels", f"![{alt}]({pictures}/{prior}.png)", counts]
        parts += [f"**{made.title}**\n\n{made.markdown()}" for made in (fidelity(own), looks(own))]
    return "\n\n".join(parts) + "\n"


def fidelity(results: Sequence[Result]) -> Table:
    columns = ("operator", "noise", "`auto`", "PSNR (dB)", "less the best", "classical", "y")
    found = []
    for r in results:
        chosen = r.tested[r.chosen["fidelity"]]["psnr"]
        less = chosen.mean() - r.tested[r.best]["psnr"].mean()
        text = Estimate.of(chosen).text(2).replace(", ", ",\u00a0")  # two lines where the column is narrow
        found.append((*_of(r), _text(r.chosen["fidelity"]), text, f"{less:+.2f}",
                      f"{r.classical.mean():.2f}", f"{r.measurement.mean():.2f}"))  # fmt: skip
    return Table("The best PSNR", "", columns, found)


def looks(results: Sequence[Result]) -> Table:
    columns = ("operator", "noise", "`auto:looks`", "LPIPS", "LPIPS of `auto`")
    found = []
    for r in results:
        chosen, other = (r.tested[r.chosen[goal]]["lpips"].mean() for goal in ("looks", "fidelity"))
        found.append((*_of(r), _text(r.chosen["looks"]), f"{chosen:.4f}", f"{other:.4f}"))
    return Table("The best LPIPS", "", columns, found)


def _of(r: Result) -> tuple[str, str]:
    return f"`{OPERATORS[r.problem.operator]}`", f"{r.problem.sigma:g}"


def _text(setting: Setting) -> str:
    return f"`{setting[0]}`, {setting[1]}"


def entries(r: Result) -> Iterator[choosing.Choice]:
    """The entries of choosing.toml."""
    p = r.problem
    operator = read_operator(OPERATORS[p.operator]).name
    for goal, setting in r.drawn.items():
        psnr_of, lpips_of = (r.tested[setting][name].mean() for name in ("psnr", "lpips"))
        source = f"{len(r.classical)} held-out pictures: {psnr_of:.2f} dB, LPIPS {lpips_of:.4f}"
        yield choosing.Choice(goal, p.prior, operator, p.sigma, *setting, source)


INTRODUCTION = """
# Which sampler should I take?

You need not choose: `restore` takes what this page recommends for the prior, the operator and the noise.
`--sampler auto`, the default, takes the best PSNR. `--sampler auto:looks` takes the best LPIPS, and
`--sampler auto:uncertainty` the best intervals ([fronts](fronts.md)). At a noise level that was not measured, it is the
choice at the nearest one, within a factor of 2.2.

A noisy picture alone (`identity`) takes one network call, since the denoiser's output is the posterior mean. If several
samples are asked for, it takes the best candidate that draws samples.

For an operator that was not measured, `restore` says so and takes a setting that is derived:

- linear operators: `diffpir(lambda_=1.0, zeta=1.0)`. Its step is Bayes' rule for a Gaussian about the denoiser's
  estimate.

- scattered pixels (`decimate`, and `random-mask` from a share of 0.72): `mmps(iterations=1)`. DiffPIR moves only the
  few observed pixels, and the network takes them for noise.

- `jpeg` and `bit-depth` without noise: DPIR.

- other operators: DAPS up to noise 0.1, and DPS above.

## How were they chosen?

Candidates ran on held-out pictures for each prior, operator and noise, with one sample each. The setting with the
fewest network calls within {fidelity} dB of the best PSNR, or within {looks:.0%} of the best LPIPS, is chosen. Ties are
broken by the residual nearest to 1. The tables report the chosen settings on other pictures not used for choosing,
with 95% bootstrap intervals over pictures. The number after a sampler is that of its steps, each of them one network
call. `less the best` is the difference to the candidate that had the best PSNR on the choosing pictures.

The classical column is total variation, non-local means, Wiener's filter or Telea's inpainting, by operator. It is
tuned for each picture with the truth known (`studies/guide/classical.py`). The column y is the measurement itself,
enlarged where it is smaller.

The candidates were DiffPIR with zeta = 1 and lambda = 1 or 3, and DDRM, in 30 and 100 steps (with faces-128 in 30 only,
to save time). At noise 0.01 DPIR was one too, in 16 steps (in inpainting in 20, from a higher noise). DPIR is a point
estimate, and is taken only if one sample is asked for. At higher noise it leaves a hatched pattern: its PSNR is a
little higher, but its LPIPS much higher. All candidates are in
[choosing.csv](choosing/choosing.csv). [Fronts](fronts.md) has every sampler, on `faces-64` at noise 0.05.
"""

if __name__ == "__main__":
    main()

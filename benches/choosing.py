"""Which sampler to take, for each prior, operator and noise: measures, and writes choosing.toml and the page.

    python benches/choosing.py --data DATA --out out/choosing --page docs/choosing.md

Candidates are measured on held-out pictures; what is chosen, and what came second, on others that chose nothing, beside
a classical method tuned with the truth in hand. A stopped run goes on where it was. It is to be run again when a
prior's weights change.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from cells import OPERATORS, Cell, do, read

NOISES = (0.05, 0.01, 0.2)
#: the side at which each prior is measured, in pixels
PRIORS = {"photo": 128, "faces-64": 64, "faces-128": 128}
BAYES, CAUTIOUS, DDRM = "diffpir(lambda_=1.0, zeta=1.0)", "diffpir(lambda_=3.0, zeta=1.0)", "ddrm(eta=0.85)"
#: (sampler, steps) on each operator
CANDIDATES = {
    "inpainting": ((BAYES, 30), (CAUTIOUS, 30), (DDRM, 30), (DDRM, 100)),
    "denoising": ((BAYES, 30), (CAUTIOUS, 30), (DDRM, 30), (DDRM, 100)),
    "deconvolution": ((BAYES, 30), (BAYES, 100), (CAUTIOUS, 30), (DDRM, 30)),
    "super-resolution": ((BAYES, 30), (BAYES, 100), (CAUTIOUS, 30), (DDRM, 30)),
}
CHOOSING = (0, 3)
TESTED = {"photo": (8, 11), "faces-64": (32, 35), "faces-128": (32, 35)}


@dataclass(frozen=True)
class Problem:
    """A prior, an operator by the page's name, and a noise on [-1, 1]."""

    prior: str
    operator: str
    sigma: float

    def cell(self, sampler: str, steps: int, pictures: tuple[int, int]) -> Cell:
        name, _, fields = sampler.partition("(")
        text = f"{name}(steps={steps}, {fields}"
        return Cell(OPERATORS[self.operator], text, pictures, 1, self.sigma, self.prior, PRIORS[self.prior])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip and bsds500-train")
    parser.add_argument("--out", type=Path, required=True, help="folder of what was measured")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--priors", nargs="+", default=list(PRIORS), choices=list(PRIORS))
    asked = parser.parse_args()
    problems = [Problem(p, o, s) for p in asked.priors for s in NOISES for o in OPERATORS]
    for p in problems:
        cells = {c: p.cell(*c, CHOOSING) for c in CANDIDATES[p.operator]}
        do(list(cells.values()), asked.data, asked.out, asked.jobs)
        for c, own in cells.items():
            f = read(own, asked.out)
            figures = [f"{f[k].mean():.4g}" for k in ("psnr", "lpips", "residual")] if "psnr" in f else ["NaN"]
            print(p.prior, p.operator, p.sigma, *c, *figures, f"{f['seconds']:.2f}s", flush=True)


if __name__ == "__main__":
    main()

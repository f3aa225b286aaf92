"""The verification as files: tables as CSV, pictures, verification.md, and one page that needs nothing else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from posteriori.studies.page import Page, Section, write_page
from posteriori.studies.table import write_csv
from posteriori.studies.verification import tables
from posteriori.studies.verification.cells import SETS
from posteriori.studies.verification.figures import draw
from posteriori.studies.verification.plan import Scope
from posteriori.studies.verification.results import LIMIT, P_VALUE, Row

PAGE, TEXT, FOLDER = "index.html", "verification.md", "verification"
TITLE = "Samplers against posteriors known in closed form"

_GRID = (
    "The mixture of Cardoso et al. 2024, 'Monte Carlo guided denoising diffusion models for Bayesian linear "
    "inverse problems': means (-8i, -8j) repeated d/2 times for i, j in -2..2, unit covariances, weights in "
    "proportion to the squares of standard normal numbers. A has d_y sorted uniform singular values, and sigma_y "
    "is uniform times the largest; every seed draws all of it again. The sliced Wasserstein distance takes 100 "
    "directions.",
    "The paper's own results are not beside these: no copy of its table could be checked against.",
)
_PICTURES = (
    "Grey pictures with periodic borders, the spectrum 1 / f^2 and pixels of standard deviation 0.5, behind a "
    "mask, a blur and down-sampling, with noise sigma_y = 0.1 on the same scale.",
    "The distance is the sliced Wasserstein one of x - E[x | y], all pairs together. "
    "The error of the mean is relative to the mean's norm, that of the covariance in the Frobenius norm. std is "
    "the samples' over the true one: its mean and its 5% and 95% quantiles over pixels. 50%, 80% and 95% are what "
    "central intervals of the samples cover of the truth. The chi-square is |y - A x|^2 / sigma_y^2 of a sample, "
    "m the entries of y. least p: that the ranks of the truth's mean, of its middle pixel and of its log-likelihood "
    f"among the samples' are uniform; below {P_VALUE / 3:.2g} they count as unequal.",
)


def write(rows: Sequence[Row], scope: Scope, seed: int, out: Path, *, command: Sequence[str] | None = None) -> Path:
    """Writes everything into ``out``, and returns the path of the page."""
    text = shlex.join(["posteriori", *(sys.argv[1:] if command is None else command)])
    write_csv(tables.records(rows), out / "verification.csv")
    write_csv(tables.costs(rows), out / "costs.csv")
    write_page(Page(TITLE, _lead(scope), text, _sections(rows, scope, seed, out)), out, html=PAGE, markdown=TEXT)
    return out / PAGE


def _lead(scope: Scope) -> list[str]:
    return [
        "With these priors the denoiser and the posterior p(x | y) are exact, so that what is measured is the "
        "sampler's own error, not a network's. Every statistic stands beside its floor: the same of samples drawn "
        f"from the posterior itself, {SETS} sets for every seed. A method is exact within sampling error where no "
        f"statistic is more than {LIMIT:g} standard errors from those of exact samples, by their scatter; else it is "
        "biased, in what and by how much. With more samples a smaller bias would show. "
        f"{' and '.join(map(str, scope.steps))} steps on the schedule of linear "
        f"betas with 1,000 levels; grids in {', '.join(map(str, scope.dimensions))} dimensions. Fields that differ "
        "from a sampler's class are in studies/verification/settings.toml, chosen on seeds that are not reported; "
        "verification.csv has the samplers with all their fields. The samples of TDS and MCGDiff are the particles of "
        "one run, which repeat and err together, while the floor's are independent.",
        *([f"Not run: {'; '.join(scope.left_out)}."] if scope.left_out else []),
    ]


def _sections(rows: Sequence[Row], scope: Scope, seed: int, out: Path) -> list[Section]:
    return [
        Section("Summary", tables=[tables.summary(rows, steps) for steps in scope.steps]),
        Section("A grid of 25 Gaussians", _GRID, tables=[t for steps in scope.steps for t in tables.grid(rows, steps)]),
        Section(
            "A Gaussian over pictures",
            _PICTURES,
            tables=[t for steps in scope.steps for t in tables.pictures(rows, steps)],
        ),
        Section("Exact and sampled density", pictures=draw(rows, scope, seed, out / FOLDER)),
    ]

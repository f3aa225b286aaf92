"""The verification as files: tables as CSV, pictures, verification.md, and one self-contained HTML page."""

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
from posteriori.studies.wording import enumerated

PAGE, TEXT, FOLDER = "index.html", "verification.md", "verification"
TITLE = "How far are samples from known posteriors?"
#: up to this dimension of the grids, the page is about small problems
SMALL = 8

_GRID = (
    "The prior is the mixture of Cardoso et al. 2024, 'Monte Carlo guided denoising diffusion models for Bayesian "
    "linear inverse problems': means (-8i, -8j) repeated d/2 times for i, j in -2..2, unit covariances, and weights "
    "proportional to squared standard normal numbers. The d_y singular values of A are uniform on [0, 1], "
    "and sigma_y is the largest of them times another such number. Every seed draws all of these again. The sliced "
    "Wasserstein distance uses 100 directions. The paper's own results are not shown: no copy of its table was at hand "
    "to check against.",
)
_PICTURES = (
    "The prior is a Gaussian over grey pictures with periodic borders and the spectrum 1 / f^2. A pixel has the "
    "standard deviation 0.5. The operators are a mask, a blur and down-sampling, with noise sigma_y = 0.1 on the "
    "same scale.",
    "Errors: distance is the sliced Wasserstein distance of x - E[x | y], pooled over all pairs. The mean's error is "
    "relative to the norm of the true mean, that of the covariance to the true one's Frobenius norm. The chi-square is "
    "|y - A x|^2 / sigma_y^2 of a sample, and m is the number of entries of y.",
    "Spread and ranks: std is the samples' standard deviation over the true one: its mean over pixels, and its 5% and "
    "95% quantiles. 50%, 80% and 95% are the coverages of the samples' central intervals. least p is the smallest "
    "p-value of three tests that ranks are uniform: those of the truth's mean, middle pixel and log-likelihood among "
    f"those of the samples. Below {P_VALUE / 3:.2g} the ranks count as not uniform.",
)


def write(rows: Sequence[Row], scope: Scope, seed: int, out: Path, *, command: Sequence[str] | None = None) -> Path:
    """Writes everything into ``out``, and returns the path of the page."""
    text = shlex.join(["posteriori", *(sys.argv[1:] if command is None else command)])
    write_csv(tables.records(rows), out / "verification.csv")
    write_csv(tables.costs(rows), out / "costs.csv")
    title = f"{TITLE} (Small problems)" if max(scope.dimensions) <= SMALL else TITLE
    write_page(Page(title, _lead(scope), text, _sections(rows, scope, seed, out)), out, html=PAGE, markdown=TEXT)
    return out / PAGE


def _lead(scope: Scope) -> list[str]:
    return [
        "With these priors the denoiser and the posterior p(x | y) are known exactly. What is measured is therefore "
        "the sampler's own error, without a network's. Every statistic is given with its floor: the same statistic of "
        f"samples drawn from the posterior itself, {SETS} sets for every seed. A method is exact within sampling error "
        f"if every statistic lies within {LIMIT:g} standard errors of the floor, where the standard error is the "
        "scatter of exact samples. Otherwise it is biased. Stars mark the statistics beyond that limit, and the "
        "verdict names the most frequent errors. More samples would reveal smaller biases.",
        f"Methods run in {enumerated(scope.steps)} steps on the schedule of linear betas with 1,000 levels. The grids "
        f"have {enumerated(scope.dimensions)} dimensions. Fields that differ from a sampler's defaults are in "
        "studies/verification/settings.toml. They were chosen on other seeds than those reported. verification.csv "
        "lists every sampler with all its fields, every p-value, and verdicts by problem. The samples of TDS and "
        "MCGDiff are the particles of one run. They repeat and err together; the floor's samples are independent.",
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

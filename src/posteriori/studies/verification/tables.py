"""The verification's tables: rows of statistics for CSV, and the same as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from posteriori.metrics.intervals import Mean, chi_square_range
from posteriori.studies.table import Table
from posteriori.studies.verification.cells import EXACT
from posteriori.studies.verification.grid import Grid
from posteriori.studies.verification.pictures import LEVELS, PowerLawPictures
from posteriori.studies.verification.results import LIMIT, P_VALUE, UNBIASED, Row

_FLOOR, _NOT_RUN = "exact (the floor)", "not run"
_STARS = f"A star marks a mean more than {LIMIT:g} standard errors from that of exact samples."


def records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for every statistic of every method on every problem; without seconds, which differ from run to run."""
    found = []
    for row in rows:
        own = {"problem": row.problem.name, "method": row.method, "steps": row.steps, "sampler": row.sampler,
               "seeds": len(row.records), "verdict": row.verdict}  # fmt: skip
        found += [own | {"statistic": "diverged", "mean": row.diverged}] * (row.diverged > 0)
        for name, compared in row.compared.items():
            mean, floor = Mean.of(compared.own), Mean.of(compared.floor.mean(1))
            found.append(own | {"statistic": name, "mean": mean.mean, "error": mean.error, "floor": floor.mean,
                                "floor_error": floor.error, "standard_errors_off": compared.off})  # fmt: skip
        found += [own | {"statistic": f"p_{name}", "mean": p} for name, p in row.p_values.items()]
    return found


def costs(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Kept apart from the other tables, which are the same in every run on one machine."""
    return [
        {"problem": row.problem.name, "method": row.method, "steps": row.steps, "network_calls": row.cost("calls"),
         "vjps": row.cost("vjps"), "seconds_per_1000_samples": round(row.cost("seconds"), 3)}
        for row in rows if row.method != EXACT
    ]  # fmt: skip


def summary(rows: Sequence[Row], steps: int) -> Table:
    """Every method in one line."""
    grids, pictures = _split(rows, steps)
    easiest = min(row.problem.d_y for row in grids)
    sizes = sorted({row.problem.d for row in grids})
    cells = []
    for method in _methods(rows, steps):
        on = {row.problem.d: row for row in grids if row.method == method and row.problem.d_y == easiest}
        images = [row for row in pictures if row.method == method]
        largest, all_images = on.get(sizes[-1]), len(images) == len({row.problem for row in pictures})
        cells.append(
            (
                method,
                *(_times(on.get(d)) for d in sizes),
                *(_average(images, name) if all_images else _NOT_RUN for name in ("std_ratio", "coverage_95")),
                *(f"{largest.cost(name):.3g}" if largest else _NOT_RUN for name in ("calls", "vjps", "seconds")),
                _pooled([row for row in (*grids, *pictures) if row.method == method]),
            )
        )
    note = (
        f"Distance over floor is the sliced Wasserstein distance on the grid with d_y = {easiest}, divided by that of "
        "two independent sets of exact samples; 1.0 is exact. std (over the true one) and the coverage of 95% "
        "intervals are means over the operators on pictures. Network calls and vjps (gradients through the denoiser) "
        f"are for one sample, seconds for 1,000 samples at d = {sizes[-1]} in one thread. The verdict counts the "
        "problems on which a method is biased, and names its most frequent errors."
    )
    columns = ("method", *(f"distance over floor, d={d}" for d in sizes), "std, pictures", "95% coverage")
    columns += ("network calls", "vjps", "seconds", "verdict")
    return Table(f"Every method at {steps} steps", note, columns, cells)


def grid(rows: Sequence[Row], steps: int) -> list[Table]:
    """The distance and the spread of every method in every dimension."""
    grids, _ = _split(rows, steps)
    columns = list(dict.fromkeys((row.problem.d, row.problem.d_y) for row in grids))
    floors = [row for row in rows if row.method == EXACT and isinstance(row.problem, Grid)]
    found = []
    for name, digits in (("distance", 2), ("spread", 2), ("mean_error", 2)):
        cells = []
        for method in (EXACT, *_methods(rows, steps)):
            own = {(row.problem.d, row.problem.d_y): row for row in (*floors, *grids) if row.method == method}
            cells.append((_FLOOR if method == EXACT else method, *(_mean(own.get(at), name, digits) for at in columns)))
        statistic = next(s for s in Grid.statistics if s.name == name)
        title = statistic.title[0].upper() + statistic.title[1:]
        heads = ("method", *(f"d={d}, d_y={d_y}" for d, d_y in columns))
        found.append(Table(f"{title}, {steps} steps", _grid_note(grids), heads, cells))
    return found


def _grid_note(grids: Sequence[Row]) -> str:
    seeds = {row.problem.d: len(row.records) for row in grids}
    return (
        f"{grids[0].problem.n} samples; mean ± its 95% interval over "
        + ", ".join(f"{n} seeds at d = {d}" for d, n in seeds.items())
        + f". {_STARS}"
    )


def pictures(rows: Sequence[Row], steps: int) -> list[Table]:
    """Every statistic of every method, two tables for each operator."""
    _, images = _split(rows, steps)
    found = []
    for problem in dict.fromkeys(row.problem for row in images):
        own = [row for row in rows if row.problem == problem and (row.method == EXACT or row.steps == steps)]
        name, pairs = f"{problem.name.removeprefix('pictures ')}, {steps} steps", problem.pairs * len(own[0].records)
        named = [(_FLOOR if row.method == EXACT else row.method, row) for row in own]
        errors = [(method, *(_mean(row, of, digits) for of, digits in _ERRORS.values())) for method, row in named]
        spreads = [
            (
                method,
                *(_mean(row, of, digits, error=of == "std_ratio") for of, digits in _SPREADS.values()),
                _least(row),
            )
            for method, row in named
        ]
        low, high = chi_square_range(problem.degrees() * pairs)
        ran = f"{pairs} pairs of x and y, {problem.n} samples each; "
        note = (
            f"{ran}mean ± its 95% interval over {len(own[0].records)} seeds. For exact samples the chi-square / m lies "
            f"within {low:.3f} to {high:.3f} with 95% probability. {_STARS}"
        )
        stars = f"{ran}means over {len(own[0].records)} seeds. Stars as above, and where the ranks are not uniform."
        found += [
            Table(f"{name}: errors", note, ("method", *_ERRORS), errors),
            Table(f"{name}: spread and ranks", stars, ("method", *_SPREADS, "least p"), spreads),
        ]
    return found


#: the columns of the tables on pictures: what each is a mean of, and its digits
_ERRORS = {"distance": ("distance", 3), "mean error": ("mean_error", 3), "covariance error": ("covariance_error", 2),
           "chi-square / m": ("chi_square", 2)}  # fmt: skip
_SPREADS = {"std": ("std_ratio", 3), "std, 5%": ("std_ratio_low", 2), "std, 95%": ("std_ratio_high", 2)}
_SPREADS |= {f"{level:.0%}": (f"coverage_{100 * level:.0f}", 3) for level in LEVELS}


def _split(rows: Sequence[Row], steps: int) -> tuple[list[Row[Grid]], list[Row[PowerLawPictures]]]:
    own = [row for row in rows if row.steps == steps]
    return [r for r in own if isinstance(r.problem, Grid)], [r for r in own if isinstance(r.problem, PowerLawPictures)]


def _methods(rows: Sequence[Row], steps: int) -> list[str]:
    return list(dict.fromkeys(row.method for row in rows if row.steps == steps))


def _mean(row: Row | None, name: str, digits: int, *, error: bool = True) -> str:
    if not row:
        return _NOT_RUN
    if row.diverged:
        return "diverged"
    compared = row.compared[name]
    mean = Mean.of(compared.floor.mean(1) if row.method == EXACT else compared.own)
    return (mean.text(digits) if error else f"{mean.mean:.{digits}f}") + " *" * (abs(compared.off) > LIMIT)


def _least(row: Row) -> str:
    if not row.p_values:
        return ""
    least = min(row.p_values.values())
    return ("< 0.0001" if least < 1e-4 else f"{least:.1g}") + " *" * (least < P_VALUE / len(row.p_values))


def _times(row: Row | None) -> str:
    if not row:
        return _NOT_RUN
    if row.diverged:
        return "diverged"
    distance = row.compared["distance"]
    return f"{distance.own.mean() / distance.floor.mean():.1f}"


def _average(rows: Sequence[Row], name: str) -> str:
    values = [row.compared[name].own.mean() for row in rows if not row.diverged]
    return f"{np.mean(values):.2f}" if values else "-"


def _pooled(rows: Sequence[Row]) -> str:
    """On how many problems a method is biased, and its most frequent errors."""
    biased = [row for row in rows if row.biases]
    if not biased:
        return UNBIASED
    counts = Counter(bias.called for row in biased for bias in row.biases)
    wrong = ", ".join(_unbroken(called) for called, _ in counts.most_common(3))
    return f"{_unbroken(f'biased on {len(biased)} of {len(rows)}:')} {wrong}"


def _unbroken(text: str) -> str:
    """``text`` on one line: in a narrow column, lines break between parts of a verdict only."""
    return text.replace(" ", "\u00a0")

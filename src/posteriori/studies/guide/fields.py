"""Tunes a sampler's fields on the problems of `posteriori verify`, on seeds that the latter does not report.

    python -m posteriori.studies.guide.fields dps scale=0.1:10:log7 --on grid-8 --steps 100

prints the mean distance to exact samples at every point of the grid, and the line for settings.toml.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product

import numpy as np
import torch

from posteriori.settings.text import format_value, read_sampler
from posteriori.studies.sweep import read_axis
from posteriori.studies.verification.cells import measure
from posteriori.studies.verification.grid import Grid
from posteriori.studies.verification.pictures import PowerLawPictures
from posteriori.studies.verification.plan import FULL, QUICK
from posteriori.studies.verification.problem import Problem

#: the first seed; the verification's begin at 0
FIRST = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sampler", help="a sampler with its fixed fields: dps or 'dps(gradient=norm)'")
    parser.add_argument("vary", nargs="+", help="FIELD=VALUES as in `posteriori sweep`")
    parser.add_argument("--on", required=True, help="a problem's family, like grid-80 or pictures-16")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    problems = [problem for scope in (FULL, QUICK) for problem, _ in scope.problems if problem.family == asked.on]
    problems = list(dict.fromkeys(map(lighter, problems)))
    given, axes = read_sampler(asked.sampler), [read_axis(text) for text in asked.vary]
    best = (np.inf, "")
    for at in product(*(axis.values for axis in axes)):
        fields = given.fields | {axis.name: value for axis, value in zip(axes, at, strict=True)}
        sampler = replace(given.build().with_steps(asked.steps), **fields)
        records = [measure(p, sampler, seed).statistics for p in problems for seed in range(FIRST, FIRST + asked.seeds)]
        distance = np.mean([record["distance"] if record else np.inf for record in records])
        text = ", ".join(f"{name} = {_toml(value)}" for name, value in fields.items())
        print(f"{distance:8.4f}  {text}", flush=True)
        best = min(best, (float(distance), text))
    where = f'sampler = "{given.cls.name}", on = "{asked.on}", steps = {asked.steps}'
    print(f"    {{ {where}, fields = {{ {best[1]} }} }},")


def lighter(problem: Problem) -> Problem:
    """``problem`` with fewer samples, which are enough for tuning."""
    if isinstance(problem, Grid):
        return replace(problem, n=200)
    return replace(problem, pairs=10) if isinstance(problem, PowerLawPictures) else problem


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else format_value(value)


if __name__ == "__main__":
    main()

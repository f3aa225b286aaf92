"""Varies a sampler's fields over a grid: the quality at every point, the best point, and how flat the optimum is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from posteriori.errors import PosterioriError
from posteriori.metrics.intervals import Estimate
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.sampler import Sampler
from posteriori.settings.presets import resolve
from posteriori.settings.text import Spec, format_spec, read_sampler
from posteriori.studies.engine.plan import Run
from posteriori.studies.engine.store import Runs

#: the name that varies the number of steps, in whichever field the sampler keeps it
STEPS = "steps"
#: points within so many dB of the best PSNR count as equally good
FLAT = 0.1

_GRID = re.compile(r"(?P<low>[^:]+):(?P<high>[^:]+):(?P<kind>log|lin)(?P<n>\d+)$")


@dataclass(frozen=True)
class Axis:
    """A field and its values: numbers from low to high, or words."""

    name: str
    values: tuple[float | str, ...]

    @property
    def numeric(self) -> bool:
        return not any(isinstance(value, str) for value in self.values)


def read_axis(text: str) -> Axis:
    """``scale=0.05:1.0:log5`` (5 values, equal ratios), ``t_start=200:800:lin4`` or ``gradient=unit,norm``.

    Raises PosterioriError if the text has another form.
    """
    name, equals, values = (part.strip() for part in text.partition("="))
    accepted = "give FIELD=LOW:HIGH:logN, FIELD=LOW:HIGH:linN or FIELD=A,B,C"
    if not name or not equals or not values:
        raise PosterioriError(f"--vary {text!r} is not FIELD=VALUES: {accepted}")
    match = _GRID.match(values)
    if not match:
        if ":" in values:
            raise PosterioriError(f"--vary {text!r} is not a grid: {accepted}")
        return Axis(name, tuple(_value(part.strip()) for part in values.split(",")))
    low, high, n = _value(match["low"]), _value(match["high"]), int(match["n"])
    if isinstance(low, str) or isinstance(high, str) or not low < high or n < 2:
        raise PosterioriError(f"--vary {text!r}: give numbers LOW < HIGH and at least 2 values")
    if match["kind"] == "log" and low <= 0:
        raise PosterioriError(f"--vary {text!r}: a logarithmic grid needs LOW above 0; give lin{n}")
    grid = np.geomspace(low, high, n) if match["kind"] == "log" else np.linspace(low, high, n)
    whole = name == STEPS
    return Axis(name, tuple(round(v) if whole else float(f"{v:.6g}") for v in grid.tolist()))


def _value(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise PosterioriError(f"{text} is not a finite number")
    return int(number) if number == int(number) and re.fullmatch(r"[+-]?\d+", text) else number


@dataclass(frozen=True)
class Point:
    """A place in the grid, and the run there."""

    at: tuple[float | str, ...]
    run: Run


def grid(
    axes: Sequence[Axis], sampler: str, operator: Operator, prior: Prior, template: Run, *, steps: int
) -> list[Point]:
    """A run like ``template`` for every combination. Fields that are neither varied nor given come from the preset.

    Raises PosterioriError if the sampler has no such field.
    """
    spec = read_sampler(sampler)
    points = []
    for at in product(*(axis.values for axis in axes)):
        varied = {axis.name: value for axis, value in zip(axes, at, strict=True)}
        asked = int(varied.pop(STEPS, steps))
        text = format_spec(_resolved(spec, varied, operator, prior, asked, template.noise.level))
        points.append(Point(at, replace(template, method=text)))
    return points


def _resolved(
    spec: Spec, varied: dict[str, float | str], operator: Operator, prior: Prior, steps: int, sigma: float
) -> Sampler:
    # via text, which checks types as it does for a user's settings
    fields = ", ".join(f"{name}={value}" for name, value in varied.items())
    given = read_sampler(f"{spec.cls.name}({fields})").fields if fields else {}
    return resolve(spec.cls, operator, prior, steps=steps, sigma=sigma, **spec.fields | given).sampler


@dataclass(frozen=True)
class Measured:
    """The results at a point of the grid."""

    at: tuple[float | str, ...]
    psnr: Estimate
    lpips: Estimate
    residual: float
    calls: int


def measured(points: Sequence[Point], runs: Runs) -> list[Measured]:
    """The metrics of ``points``, whose runs must be finished."""
    found = []
    for point in points:
        result = runs.read(point.run)
        psnr, lpips = (Estimate.of(result.by_image(name)) for name in ("psnr", "lpips"))
        found.append(Measured(point.at, psnr, lpips, float(result.metrics["residual"].mean()), result.calls))
    return found


def best(points: Sequence[Measured]) -> Measured:
    """The point with the highest mean PSNR. A setting that diverged is never the best."""
    return max(points, key=lambda point: point.psnr.rank)


def flat(points: Sequence[Measured]) -> list[Measured]:
    """The points within ``FLAT`` dB of the best one."""
    top = best(points).psnr.mean
    return [point for point in points if point.psnr.mean >= top - FLAT]


def rows(axes: Sequence[Axis], points: Sequence[Measured]) -> list[dict[str, float | str]]:
    """One table row for each point."""
    return [
        {axis.name: value for axis, value in zip(axes, point.at, strict=True)}
        | {"psnr": point.psnr.mean, "psnr_low": point.psnr.low, "psnr_high": point.psnr.high}
        | {"lpips": point.lpips.mean, "lpips_low": point.lpips.low, "lpips_high": point.lpips.high}
        | {"residual": point.residual, "network_calls": point.calls, "n": point.psnr.n}
        for point in points
    ]

"""Which sampler ``auto`` takes: the one measured as best for a prior, an operator, a noise and a goal."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from posteriori.errors import PosterioriError
from posteriori.likelihoods import GaussianNoise, Noise
from posteriori.operators import Identity
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.operators.rounding import Rounding
from posteriori.settings.presets import SAME_AS
from posteriori.settings.text import Spec

#: what ``auto`` can aim for
GOALS = ("fidelity", "looks", "uncertainty")
#: fidelity if one sample is asked for, so that a point estimate may be the best
ESTIMATE = "estimate"
_AIMS = {"fidelity": "PSNR", ESTIMATE: "PSNR", "looks": "LPIPS", "uncertainty": "intervals"}
AUTO = "auto"
#: not a sampler: one network call, whose E[x_0 | x_0 + sigma n] is the posterior mean of denoising
DENOISER = "denoiser"
#: noises that differ by a larger factor than this from every measured one count as not measured
FAR = math.sqrt(5)


@dataclass(frozen=True)
class Choice:
    """A sampler's text and number of steps. ``source`` has its measured results, or says why it is taken.

    ``prior`` and ``operator`` are names, ``noise`` is sigma on [-1, 1].
    """

    goal: str
    prior: str
    operator: str
    noise: float
    sampler: str
    steps: int
    source: str

    @property
    def reason(self) -> str:
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        return f"{self.sampler}, {steps}, for the best {_AIMS[self.goal]} on {self.operator} ({self.source})"


#: what a sampler has to deal with: a linear operator with Gaussian noise, or one that observes few scattered entries; a
#: rounding operator without noise; any operator with Gaussian noise; or other noise
Kind = Literal["linear", "scattered", "rounded", "nonlinear", "other"]
#: observing less than this share of a picture's entries counts as scattered
_SCATTERED = 0.28
#: up to this noise DAPS, which assumes almost none, is better than DPS on hdr and gamma; at 0.2 it is worse
_LITTLE = 0.1

_BAYES, _WHY_BAYES = "diffpir(lambda_=1.0, zeta=1.0)", "its data step is Bayes' rule for N(x0, sigma_bar^2 I)"
_MMPS = "mmps(iterations=1)"


def kind(parts: Sequence[Spec[Operator]], noise: Noise, *, seen: float | None = None) -> Kind:
    """The kind of a measurement by the operators ``parts``, one after the other, with this ``noise``.

    ``seen`` is the share of entries that is observed, if the operator does not say it.
    """
    if not isinstance(noise, GaussianNoise):
        return "other"
    if len(parts) == 1 and issubclass(parts[0].cls, Rounding) and not noise.sigma:
        return "rounded"
    if not all(issubclass(part.cls, LinearOperator) for part in parts):
        return "nonlinear"
    if seen is None:
        seen = parts[0].cls.seen(**parts[0].fields) if len(parts) == 1 else 1.0
    return "scattered" if seen < _SCATTERED else "linear"


def _derived(goal: str, kind: Kind, sigma: float, samples: int) -> tuple[str, int, str]:
    """(sampler, steps, why) if nothing was measured: settings that hold for any prior and noise."""
    if kind == "nonlinear" and sigma <= _LITTLE:
        return "daps(ode_steps=1)", 30, "it takes any operator, and fits y closely at low noise"
    if kind in ("nonlinear", "other"):
        return "dps", 250, "it takes any operator and noise"
    if kind == "scattered":
        return _MMPS, 30, "few pixels are observed, and the network's gradient spreads them to the others"
    if kind == "rounded" and goal == GOALS[0] and samples == 1:
        sampler = "dpir(lambda_=0.1, sigma_max=0.1, sigma_min=0.02)"
        return sampler, 8, "it averages over the rounding cells of y, starting from noise of about the rounding error"
    if goal == "uncertainty" and kind == "linear":
        return _MMPS, 30, "it is exact for a Gaussian prior"
    return _BAYES, 100 if goal == "looks" else 30, _WHY_BAYES


@cache
def choices() -> list[Choice]:
    """The measured choices."""
    text = resources.files("posteriori.settings").joinpath("choosing.toml").read_text("utf-8")
    return [Choice(**entry) for entry in tomllib.loads(text)["choice"]]


def is_auto(sampler: str) -> bool:
    """Whether the text of a sampler asks for a choice."""
    return sampler.partition(":")[0] == AUTO


def goal_of(sampler: str) -> str:
    """The goal of "auto" or "auto:GOAL". Raises PosterioriError for an unknown one."""
    goal = sampler.partition(":")[2] or GOALS[0]
    if goal not in GOALS:
        raise PosterioriError(f"{sampler}: {goal!r} is not a goal; give auto, or auto: with one of {', '.join(GOALS)}")
    return goal


def choose(
    sampler: str,
    prior: str,
    operator: str,
    sigma: float,
    *,
    samples: int = 1,
    steps: int | None = None,
    kind: Kind = "linear",
) -> Choice:
    """The choice of "auto" or "auto:GOAL" for a prior and an operator of these names, with noise ``sigma`` on [-1, 1].

    For denoising it is the denoiser itself, unless several ``samples`` or a number of ``steps`` are asked for.
    Otherwise it is the choice measured at the nearest noise, which may be a point estimate if one sample is asked for.
    If no noise within a factor of sqrt(5) was measured, or nothing for this prior and operator, it is a setting derived
    for the measurement's ``kind``.

    Raises PosterioriError for an unknown goal.
    """
    goal = goal_of(sampler)
    one = samples == 1 and steps is None and goal != "uncertainty"
    if kind == "linear" and operator == Identity.name and sigma > 0 and one:
        source = "one network call gives the posterior mean"
        return Choice(goal, prior, operator, sigma, DENOISER, 1, source)
    key = goal, prior, SAME_AS.get(operator, operator)
    others = kind in ("scattered", "other")  # kinds that were not measured
    found = [] if others else [own for own in choices() if (own.goal, own.prior, own.operator) == key]
    far = {choice: _far(choice.noise, sigma) for choice in found}
    nearest = min(far, key=far.__getitem__, default=None)
    if nearest and far[nearest] <= math.log(FAR) * (1 + 1e-9):
        estimate = nearest.prior, nearest.operator, nearest.noise, ESTIMATE
        points = (c for c in choices() if (c.prior, c.operator, c.noise, c.goal) == estimate)
        return next(points, nearest) if samples == 1 and goal == GOALS[0] else nearest
    derived, steps, why = _derived(goal, kind, sigma, samples)
    noises = f" at noise {sigma:.3g}" if found else ""
    source = f"nothing was measured with {prior or 'this prior'}{noises}; {why}"
    return Choice(goal, prior, operator, sigma, derived, steps, source)


def _far(noise: float, sigma: float) -> float:
    """How far two noises are from each other, by the logarithm of their ratio; none is far from any."""
    if noise == sigma:
        return 0.0
    return abs(math.log(noise / sigma)) if noise > 0 and sigma > 0 else math.inf

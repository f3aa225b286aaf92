"""Which sampler ``auto`` is: what was measured to be best for a prior, an operator, a noise and a goal."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from posteriori.errors import PosterioriError
from posteriori.operators import Identity
from posteriori.settings.presets import SAME_AS

#: nearest to the truth in PSNR, in LPIPS, or with the intervals that score best
GOALS = ("fidelity", "looks", "uncertainty")
#: fidelity where one picture is asked for, and a point estimate may be the best
ESTIMATE = "estimate"
AUTO = "auto"
#: not a sampler: one network call, whose E[x_0 | x_0 + sigma n] is the mean of what denoising asks for
DENOISER = "denoiser"
#: noises that differ by a larger factor than this from every measured one count as not measured
FAR = math.sqrt(5)


@dataclass(frozen=True)
class Choice:
    """A sampler's text and number of steps; ``source`` says what it gave where it was measured, or why it is taken.

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
        goal = GOALS[0] if self.goal == ESTIMATE else self.goal
        return f"{self.sampler}, {steps}, for {goal} on {self.operator}: {self.source}"


#: (sampler, steps, why) for each goal where nothing was measured: what holds for any prior and noise
_DERIVED = {
    "fidelity": ("diffpir(lambda_=1.0, zeta=1.0)", 30, "its data step is Bayes' rule for N(x0, sigma_bar^2 I)"),
    "looks": ("diffpir(lambda_=1.0, zeta=1.0)", 100, "its data step is Bayes' rule for N(x0, sigma_bar^2 I)"),
    "uncertainty": ("mmps(iterations=1)", 30, "it is exact for a Gaussian prior"),
}


@cache
def choices() -> list[Choice]:
    """What was measured."""
    text = resources.files("posteriori.settings").joinpath("choosing.toml").read_text("utf-8")
    return [Choice(**entry) for entry in tomllib.loads(text)["choice"]]


def is_auto(sampler: str) -> bool:
    """Whether the text of a sampler asks for a choice."""
    return sampler.partition(":")[0] == AUTO


#: the same where the noise is not Gaussian, or the operator not linear
_GENERAL = ("dps", 250, "it takes any operator and noise")


def choose(
    sampler: str,
    prior: str,
    operator: str,
    sigma: float,
    *,
    samples: int = 1,
    steps: int | None = None,
    linear: bool = True,
) -> Choice:
    """What "auto" or "auto:GOAL" is for a prior and an operator of these names, with noise ``sigma`` on [-1, 1].

    Of a noisy picture it is the denoiser itself, unless several ``samples`` or a number of ``steps`` are asked for.
    Otherwise it is the choice measured at the nearest noise, which may be a point estimate where one sample is asked
    for. Where no noise within a factor of sqrt(5) was measured, or nothing for this prior and operator, it is a setting
    that is derived for any. ``linear``: the operator is and the noise Gaussian, or DiffPIR has a data step; else it is
    DPS, whatever the goal.

    Raises PosterioriError for an unknown goal.
    """
    goal = sampler.partition(":")[2] or GOALS[0]
    if goal not in GOALS:
        raise PosterioriError(f"{sampler}: {goal!r} is no goal; give auto, or auto: with one of {', '.join(GOALS)}")
    if not linear:
        name, count, why = _GENERAL
        return Choice(goal, prior, operator, sigma, name, count, f"nothing was measured for it and this noise; {why}")
    if operator == Identity.name and sigma > 0 and samples == 1 and steps is None and goal != "uncertainty":
        source = "it gives the mean of the pictures that this one may be, in one network call"
        return Choice(goal, prior, operator, sigma, DENOISER, 1, source)
    key = goal, prior, SAME_AS.get(operator, operator)
    found = [choice for choice in choices() if (choice.goal, choice.prior, choice.operator) == key]
    far = {choice: abs(math.log(choice.noise / sigma)) for choice in found} if sigma > 0 else {}
    nearest = min(far, key=far.__getitem__, default=None)
    if nearest and far[nearest] <= math.log(FAR) * (1 + 1e-9):
        estimate = nearest.prior, nearest.operator, nearest.noise, ESTIMATE
        points = (c for c in choices() if (c.prior, c.operator, c.noise, c.goal) == estimate)
        return next(points, nearest) if samples == 1 and goal == GOALS[0] else nearest
    derived, steps, why = _DERIVED[goal]
    noises = f" at noise {sigma:.3g}" if found else ""
    source = f"nothing was measured with {prior or 'this prior'}{noises}; {why}"
    return Choice(goal, prior, operator, sigma, derived, steps, source)

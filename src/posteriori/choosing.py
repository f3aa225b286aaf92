"""Which sampler ``auto`` is: what was measured to be best for an operator and a goal (``choosing.toml``)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from posteriori.presets import SAME_AS

#: nearest to the truth in PSNR, in LPIPS, or with the intervals that score best
GOALS = ("fidelity", "looks", "uncertainty")
AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """A sampler's text and number of steps for an operator's name; ``source`` says what it gave there."""

    goal: str
    operator: str
    sampler: str
    steps: int
    source: str

    @property
    def reason(self) -> str:
        return f"{self.sampler}, {self.steps} steps, for {self.goal} on {self.operator}: {self.source}"


@cache
def _choices() -> list[Choice]:
    text = resources.files("posteriori").joinpath("choosing.toml").read_text("utf-8")
    return [Choice(**entry) for entry in tomllib.loads(text)["choice"]]


def is_auto(sampler: str) -> bool:
    """Whether the text of a sampler asks for a choice."""
    return sampler.partition(":")[0] == AUTO


def choose(sampler: str, operator: str) -> Choice:
    """What "auto" or "auto:GOAL" is for the operator of that name; ValueError where nothing was measured for it."""
    goal = sampler.partition(":")[2] or GOALS[0]
    if goal not in GOALS:
        raise ValueError(f"{sampler}: {goal!r} is no goal; give auto, or auto: with one of {', '.join(GOALS)}")
    own = SAME_AS.get(operator, operator)
    found = [choice for choice in _choices() if (choice.goal, choice.operator) == (goal, own)]
    if not found:
        known = ", ".join(dict.fromkeys(choice.operator for choice in _choices()))
        raise ValueError(f"{sampler}: nothing was measured for {operator}, only for {known}; name a sampler, like dps")
    return found[0]

"""The samplers as they are verified: with their classes' defaults, except for the fields in ``settings.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from posteriori.sampler import Sampler


@cache
def _entries() -> list[dict[str, Any]]:
    text = resources.files("posteriori.studies.verification").joinpath("settings.toml").read_text("utf-8")
    return tomllib.loads(text)["setting"]


def configured(cls: type[Sampler], family: str, steps: int) -> Sampler:
    """The sampler for the problems of a ``family``, with ``steps`` steps."""
    asked = {"sampler": cls.name, "on": family, "steps": steps}
    fits = (entry for entry in _entries() if all(entry.get(name, value) == value for name, value in asked.items()))
    return replace(cls().with_steps(steps), **next(fits, {"fields": {}})["fields"])

"""The samplers as they are verified: their classes' fields, but for what ``settings.toml`` says."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from posteriori.names import nearest
from posteriori.sampler import Sampler
from posteriori.samplers import SAMPLERS


@cache
def _entries() -> list[dict[str, Any]]:
    text = resources.files("posteriori.experiments.verification").joinpath("settings.toml").read_text("utf-8")
    return tomllib.loads(text)["setting"]


def configured(cls: type[Sampler], family: str, steps: int) -> Sampler:
    """The sampler for the problems of a ``family``, with as many steps."""
    asked = {"sampler": cls.name, "on": family, "steps": steps}
    fits = (entry for entry in _entries() if all(entry.get(name, value) == value for name, value in asked.items()))
    return replace(cls().with_steps(steps), **next(fits, {"fields": {}})["fields"])


def chosen(names: str | None) -> Sequence[type[Sampler]]:
    """The samplers of "dps,ddim", all of them for None; ValueError names the nearest where there is none."""
    if names is None:
        return SAMPLERS
    known = {cls.name: cls for cls in SAMPLERS}
    asked = [name.strip() for name in names.split(",")]
    for name in asked:
        if name not in known:
            raise ValueError(f"--samplers: no sampler is called {name!r}: there are {', '.join(nearest(name, known))}")
    return [cls for cls in SAMPLERS if cls.name in asked]

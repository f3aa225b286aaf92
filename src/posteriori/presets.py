"""Settings that were measured: by sampler, operator family, prior, size and steps (``presets.toml``)."""

from __future__ import annotations

import math
import tomllib
import warnings
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Generic, TypeVar

from posteriori.operator import Operator
from posteriori.prior import Prior
from posteriori.sampler import Sampler
from posteriori.spec import Spec

#: operators that share the measurements of another
SAME_AS = {"mask": "box-mask"}
#: steps where none are asked for, unless the sampler's paper has fewer
DEFAULT_STEPS = 250
#: the prior of the papers' own settings
_PAPERS_PRIOR = "ffhq-256"

S = TypeVar("S", bound=Sampler)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A sampler, where each of its preset fields came from, and a warning where none was measured."""

    sampler: S
    sources: dict[str, str]
    warning: str = ""


@cache
def _entries() -> list[dict[str, Any]]:
    return tomllib.loads(resources.files("posteriori").joinpath("presets.toml").read_text("utf-8"))["preset"]


def _defaults(sampler: type[Sampler]) -> dict[str, Any]:
    return {f.name: f.default for f in fields(sampler) if f.default is not MISSING}


def default_steps(sampler: type[Sampler], most: int = DEFAULT_STEPS) -> int:
    """The steps of ``sampler`` where none are asked for: its paper's, at most ``most``."""
    return min(_defaults(sampler).get(sampler.count, most), most)


def _find(sampler: type[Sampler], operator: str, given: dict[str, Any], prior: str) -> list[dict[str, Any]]:
    """The entries for these, at whatever size and number of steps."""
    key, own = (sampler.name, SAME_AS.get(operator, operator), prior), _defaults(sampler) | given
    entries = [e for e in _entries() if (e["sampler"], e["operator"], e["prior"]) == key]
    return [e for e in entries if all(own.get(name) == value for name, value in e.get("when", {}).items())]


def _nearest(sampler: type[Sampler], operator: Operator, given: dict[str, Any], prior: Prior, side: float, steps: int):
    """(entry, whose value it is): measured with this prior where any was, else the paper's, else the class's own."""
    for name, whose in ((prior.name, "the value measured"), (_PAPERS_PRIOR, "the paper's value")):
        found = _find(sampler, operator.name, given, name)
        if found:
            far = lambda e: abs(math.log(e["size"] / side)) + abs(math.log(e["steps"] / steps))  # noqa: E731
            return min(found, key=far), whose
    own = {name: value for name, value in _defaults(sampler).items() if name in sampler.lengths}
    return {"size": 256, "steps": 1000, "fields": own}, "the paper's value"


def _scaled(entry: dict[str, Any], whose: str, sampler: type[Sampler], side: float, steps: int):
    """(fields, where they come from) of an ``entry`` for another size or number of steps.

    A step of a fixed L2 length moves a picture's pixels by less the more there are, and is made at every step:
    its length goes as side / steps, where side is the square root of the number of pixels.
    """
    ratio = side / entry["size"] * entry["steps"] / steps
    fields = {name: value * ratio if name in sampler.lengths else value for name, value in entry["fields"].items()}
    if not any(name in sampler.lengths for name in fields):
        return fields, f"{whose} at {entry['size']} px and {entry['steps']} steps"
    changes = ((entry["size"] != side, f" times {side:.4g}/{entry['size']} px"),)
    changes += ((entry["steps"] != steps, f" times {entry['steps']}/{steps} steps"),)
    return fields, whose + "".join(text for changed, text in changes if changed)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def resolve(sampler: type[S], operator: Operator, prior: Prior, *, steps: int, **given: Any) -> Resolved[S]:
    """``sampler`` with the fields ``given``, and the rest from the preset that was measured.

    A ``spec.Spec`` among ``given``, such as SDEdit's base, is resolved in its turn; the field that counts
    the steps, where it is given, wins over ``steps``. With no entry: the value measured at the nearest size
    and number of steps, or else the paper's, with step lengths scaled from its size and steps; and a warning.
    """
    names = [f.name for f in fields(sampler)]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(f"{sampler.name} has no field {unknown[0]!r}; it has {', '.join(names)}")
    inner = {
        name: resolve(value.cls, operator, prior, **{"steps": steps} | value.fields)
        for name, value in given.items()
        if isinstance(value, Spec)
    }
    given = given | {name: resolved.sampler for name, resolved in inner.items()}
    steps = given.get(sampler.count, steps)
    plain = sampler().with_steps(steps)  # which says so where it cannot have that many
    side = math.sqrt(math.prod(operator.shape[-2:])) if len(operator.shape) > 1 else operator.shape[0]
    entry, whose = _nearest(sampler, operator, given, prior, side, steps)
    warning = " ".join(resolved.warning for resolved in inner.values() if resolved.warning)
    if (entry.get("prior"), entry["size"], entry["steps"]) == (prior.name, side, steps):
        settings, source = entry["fields"], entry["source"]
    else:
        settings, source = _scaled(entry, whose, sampler, side, steps)
        free = [name for name in settings if name not in given]
        if free:
            values = ", ".join(f"{name} = {_shown(settings[name])}" for name in free)
            warning = (
                f"no preset of {sampler.name} was measured for {operator.name} with {prior.name or 'this prior'} at "
                f"{side:.4g} px and {steps} steps: {values} is {source}"
            )
    settings = {name: value for name, value in settings.items() if name not in given}
    sources = dict.fromkeys(settings, source) | dict.fromkeys(given.keys() - inner.keys(), "given")
    for outer, resolved in inner.items():
        sources |= {f"{outer}.{name}": source for name, source in resolved.sources.items()}
    return Resolved(replace(plain, **settings, **given), sources, warning)


def preset(sampler: type[S], operator: Operator, prior: Prior, *, steps: int = 1000, **given: Any) -> S:
    """The sampler that ``posteriori`` itself would run: see ``resolve``. Warns where nothing was measured."""
    resolved = resolve(sampler, operator, prior, steps=steps, **given)
    if resolved.warning:
        warnings.warn(resolved.warning, stacklevel=2)
    return resolved.sampler

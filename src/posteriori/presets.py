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
_SAME_AS = {"mask": "box-mask"}
#: of the papers' settings that no entry has
_PAPERS_STEPS = 1000

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


def _find(sampler: type[Sampler], operator: str, given: dict[str, Any], prior: str, size: int) -> list[dict[str, Any]]:
    """The entries for these, at whatever number of steps."""
    key, own = (sampler.name, _SAME_AS.get(operator, operator), prior, size), _defaults(sampler) | given
    entries = [e for e in _entries() if (e["sampler"], e["operator"], e["prior"], e["size"]) == key]
    return [e for e in entries if all(own.get(name) == value for name, value in e.get("when", {}).items())]


def _fallback(sampler: type[Sampler], operator: Operator, given: dict[str, Any], prior: Prior, steps: int):
    """(fields, where they come from) where nothing was measured at this number of ``steps``.

    A correction of a fixed length is made at every step, so its length goes as 1 / steps.
    """
    side = operator.shape[-1]
    measured = _find(sampler, operator.name, given, prior.name, side)
    if measured:
        entry = min(measured, key=lambda e: abs(math.log(e["steps"] / steps)))
        fields, of, factor = entry["fields"], f"the value measured at {entry['steps']} steps", 1.0
    else:
        papers = _find(sampler, operator.name, given, "ffhq-256", 256)
        own = {name: value for name, value in _defaults(sampler).items() if name in sampler.lengths}
        entry = papers[0] if papers else {"steps": _PAPERS_STEPS, "fields": own}
        fields, of, factor = entry["fields"], "the paper's value", side / 256
    ratio = factor * entry["steps"] / steps
    scaled = {name: value * ratio if name in sampler.lengths else value for name, value in fields.items()}
    of += f" times {side}/256" if factor != 1 else ""
    return scaled, of + (f" times {entry['steps']}/{steps} steps" if entry["steps"] != steps else "")


def resolve(sampler: type[S], operator: Operator, prior: Prior, *, steps: int, **given: Any) -> Resolved[S]:
    """``sampler`` with the fields ``given``, and the rest from the preset that was measured.

    A ``spec.Spec`` among ``given``, such as SDEdit's base, is resolved in its turn; the field that counts
    the steps, where it is given, wins over ``steps``. With no entry: the value measured at the nearest number
    of steps, or else the paper's at 256 x 256 with L2 step lengths times side / 256; lengths of both
    times their steps / ``steps``; and a warning.
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
    side = operator.shape[-1]
    measured = _find(sampler, operator.name, given, prior.name, side)
    warning = " ".join(resolved.warning for resolved in inner.values() if resolved.warning)
    entry = next((e for e in measured if e["steps"] == steps), None)
    if entry:
        settings, source = entry["fields"], entry["source"]
    else:
        settings, source = _fallback(sampler, operator, given, prior, steps)
        free = [name for name in settings if name not in given]
        if free:
            values = ", ".join(f"{name} = {settings[name]:.3g}" for name in free)
            warning = (
                f"no preset of {sampler.name} was measured for {operator.name} with {prior.name or 'this prior'} at "
                f"{side} px and {steps} steps: {values} is {source}"
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

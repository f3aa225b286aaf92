"""Measured settings: by sampler, operator family, prior, size, steps and noise (``presets.toml``)."""

from __future__ import annotations

import math
import tomllib
import warnings
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Generic, TypeVar

from posteriori.errors import PosterioriError
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.sampler import Sampler
from posteriori.settings.text import Spec

#: operators that share the measurements of another
SAME_AS = {"mask": "box-mask"}
#: steps where none are asked for, unless the sampler's paper has fewer
DEFAULT_STEPS = 250
#: the prior of the papers' own settings, and their noise on [-1, 1]
_PAPERS_PRIOR, _PAPERS_NOISE = "ffhq-256", 0.05

S = TypeVar("S", bound=Sampler)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A sampler, where each of its preset fields came from, and a warning where none was measured."""

    sampler: S
    sources: dict[str, str]
    warning: str = ""


@cache
def _entries() -> list[dict[str, Any]]:
    return tomllib.loads(resources.files("posteriori.settings").joinpath("presets.toml").read_text("utf-8"))["preset"]


def _defaults(sampler: type[Sampler]) -> dict[str, Any]:
    return {f.name: f.default for f in fields(sampler) if f.default is not MISSING}


def default_steps(sampler: type[Sampler], most: int = DEFAULT_STEPS) -> int:
    """The steps of ``sampler`` where none are asked for: its paper's, at most ``most``."""
    return min(_defaults(sampler).get(sampler.count, most), most)


def _find(sampler: type[Sampler], operator: str, given: dict[str, Any], prior: str) -> list[dict[str, Any]]:
    """The entries for these, at whatever size, number of steps and noise."""
    key, own = (sampler.name, SAME_AS.get(operator, operator), prior), _defaults(sampler) | given
    entries = [e for e in _entries() if (e["sampler"], e.get("operator"), e.get("prior")) == key]
    return [e for e in entries if all(own.get(name) == value for name, value in e.get("when", {}).items())]


def _derived(sampler: type[Sampler]) -> dict[str, Any] | None:
    """The entry that holds for every prior, operator and noise, where one can be derived."""
    return next((e for e in _entries() if e["sampler"] == sampler.name and "prior" not in e), None)


def _nearest(
    sampler: type[Sampler], operator: Operator, given: dict[str, Any], prior: Prior, side: float, steps: int
) -> tuple[list[list[dict[str, Any]]], str]:
    """(entries by size and number of steps, the nearest first; whose they are): this prior's, else the paper's."""
    for name, whose in ((prior.name, "the value measured"), (_PAPERS_PRIOR, "the paper's value")):
        found = _find(sampler, operator.name, given, name)
        if found:
            places = {(e["size"], e["steps"]) for e in found}
            near = sorted(places, key=lambda p: (abs(math.log(p[0] / side)) + abs(math.log(p[1] / steps)), p))
            return [[e for e in found if (e["size"], e["steps"]) == place] for place in near], whose
    own = {name: value for name, value in _defaults(sampler).items() if name in sampler.lengths}
    return [[{"size": 256, "steps": 1000, "noise": _PAPERS_NOISE, "fields": own, "source": ""}]], "the paper's value"


def _at_noise(
    near: list[list[dict[str, Any]]], sampler: type[Sampler], sigma: float
) -> tuple[dict[str, Any], str, bool]:
    """(an entry for noise ``sigma``, where it is from, whether that is measured) from ``near``, the nearest first.

    Between two noises of the nearest entries a step length is interpolated. Beyond them it is the nearest one's, which
    nobody has measured, changed as it was found to change with the noise at another number of steps.
    """
    found = _between(near[0], sampler, sigma)
    if found:
        return *found, True
    nearest = min(near[0], key=lambda e: abs(math.log(e["noise"] / sigma)) if sigma else e["noise"])
    source = f" at noise {nearest['noise']:g}"
    for other in near[1:]:
        noises = [e["noise"] for e in other]
        reached = min(max(sigma, min(noises)), max(noises))
        here, there = (_between(other, sampler, noise) for noise in (nearest["noise"], reached))
        if here and there and here != there:
            lengths = nearest["fields"].keys() & set(sampler.lengths)
            ratios = {name: there[0]["fields"][name] / here[0]["fields"][name] for name in lengths}
            fields = {name: value * ratios.get(name, 1) for name, value in nearest["fields"].items()}
            return (
                nearest | {"fields": fields},
                f"{source}, changed with the noise as in {other[0]['steps']} steps",
                False,
            )
    return nearest, source, False


def _between(entries: list[dict[str, Any]], sampler: type[Sampler], sigma: float) -> tuple[dict[str, Any], str] | None:
    """(an entry for noise ``sigma``, where it is from) from ``entries`` of several noises; None beyond them.

    A step length is interpolated, log against log; any other field is the nearer noise's.
    """
    entries = sorted(entries, key=lambda e: e["noise"])
    exact = [e for e in entries if math.isclose(e["noise"], sigma, rel_tol=0.01)]
    if exact:
        return exact[0], ""
    below, above = ([e for e in entries if (e["noise"] < sigma) == side] for side in (True, False))
    if not below or not above:
        return None
    low, high = below[-1], above[0]
    share = math.log(sigma / low["noise"]) / math.log(high["noise"] / low["noise"])
    fields = dict((low, high)[share > 0.5]["fields"])
    for name in fields.keys() & set(sampler.lengths):
        fields[name] = low["fields"][name] ** (1 - share) * high["fields"][name] ** share
    return low | {"fields": fields}, f" between noise {low['noise']:g} and {high['noise']:g}"


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


def resolve(
    sampler: type[S], operator: Operator, prior: Prior, *, steps: int, sigma: float, **given: Any
) -> Resolved[S]:
    """``sampler`` with the fields ``given``, and the others from the preset that was measured.

    ``sigma`` is the noise of the measurement on [-1, 1]. A ``Spec`` among ``given``, such as SDEdit's base, is resolved
    in its turn. If the field that counts the steps is given, it takes precedence over ``steps``.

    If this prior has no entry: a setting that is derived for every prior and noise, if the sampler has one, or else the
    paper's. If it has none for this size, number of steps or noise: the nearest measured value, with step lengths
    scaled with size and steps and interpolated between noise levels. A warning says what was not measured.
    """
    names = [f.name for f in fields(sampler)]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise PosterioriError(f"{sampler.name} has no field {unknown[0]!r}; it has {', '.join(names)}")
    inner = {
        name: resolve(value.cls, operator, prior, sigma=sigma, **{"steps": steps} | value.fields)
        for name, value in given.items()
        if isinstance(value, Spec)
    }
    given = given | {name: resolved.sampler for name, resolved in inner.items()}
    steps = given.get(sampler.count, steps)
    plain = sampler().with_steps(steps)  # which says so where it cannot have that many
    settings, source, unmeasured = _settings(sampler, operator, prior, given, steps, sigma)
    settings = {name: value for name, value in settings.items() if name not in given}
    warning = " ".join(resolved.warning for resolved in inner.values() if resolved.warning)
    if settings and unmeasured:
        values = ", ".join(f"{name} = {_shown(value)}" for name, value in settings.items())
        warning = (
            f"no preset of {sampler.name} was measured for {operator.name} with {prior.name or 'this prior'} at "
            f"{unmeasured}: {values} is {source}"
        )
    sources = dict.fromkeys(settings, source) | dict.fromkeys(given.keys() - inner.keys(), "given")
    for outer, resolved in inner.items():
        sources |= {f"{outer}.{name}": source for name, source in resolved.sources.items()}
    return Resolved(replace(plain, **settings, **given), sources, warning)


def _settings(
    sampler: type[Sampler], operator: Operator, prior: Prior, given: dict[str, Any], steps: int, sigma: float
) -> tuple[dict[str, Any], str, str]:
    """(fields, where they come from, what of size, steps and noise was not measured) of the best entry there is."""
    side = math.sqrt(math.prod(operator.shape[-2:])) if len(operator.shape) > 1 else operator.shape[0]
    derived = _derived(sampler)
    if derived and not _find(sampler, operator.name, given, prior.name):
        return derived["fields"], derived["source"], ""
    near, whose = _nearest(sampler, operator, given, prior, side, steps)
    entry, noise, measured = _at_noise(near, sampler, sigma)
    here = f"{side:.4g} px, {steps} steps and noise {sigma:.3g}"
    if (entry.get("prior"), entry["size"], entry["steps"]) != (prior.name, side, steps):
        settings, source = _scaled(entry, whose, sampler, side, steps)
        return settings, source + noise, here
    return entry["fields"], whose + noise if noise else entry["source"], "" if measured else here


def preset(sampler: type[S], operator: Operator, prior: Prior, *, sigma: float, steps: int = 1000, **given: Any) -> S:
    """A sampler with the settings that the command line would use for this operator, prior and noise.

    ``sampler`` is a class, such as ``DPS``. ``sigma`` is the standard deviation of the noise on [-1, 1]. ``steps`` is
    the number of steps. ``given`` are fields that you choose yourself. The other fields are the measured ones for this
    prior, size, number of steps and noise. If there are none, they are taken from the nearest measured case: step
    lengths are scaled with size and steps, and interpolated between noise levels. If nothing was measured for this
    prior, they are settings derived for any prior, or else the paper's.

    Warns if nothing was measured for this case. Raises PosterioriError for a field that is unknown or out of bounds.
    """
    resolved = resolve(sampler, operator, prior, steps=steps, sigma=sigma, **given)
    if resolved.warning:
        warnings.warn(resolved.warning, stacklevel=2)
    return resolved.sampler

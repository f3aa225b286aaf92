"""How long a picture takes, and how many steps fit into a given time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from posteriori.errors import PosterioriError
from posteriori.files import read_json, write_json
from posteriori.jobs.store import RESULTS
from posteriori.likelihoods import Linear
from posteriori.restore.entry import Case
from posteriori.restore.inputs import Source
from posteriori.restore.methods import Posterior
from posteriori.restore.restoration import Restoration
from posteriori.samplers import DPIR
from posteriori.settings.text import Spec

#: steps below which no sampler's picture is worth having
FEWEST = 4
#: of the quick one that takes another's place: the paper's, for deblurring
QUICK = 8
#: the share of the time that the steps may take: the rest is for reading, checking and writing
SHARE = 0.85
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|)")


def read_duration(text: str) -> float:
    """Seconds of "60s", "10m" or "1.5h"; PosterioriError, one line, for anything else."""
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not seconds:
        raise PosterioriError(f"--time is {text!r}: give a time like 60s, 10m or 1h")
    return seconds


def seconds_of_a_picture(restoration: Restoration, case: Case) -> float | None:
    """The estimated seconds for the images of ``case``, from one timed step; of a part, if the picture is tiled.

    None if nothing can be timed: a part that a mask hides, or an array.
    """
    if case.prior.tiles == 1:
        return case.method.seconds(case.prior, case.like)
    part = _middle(restoration, case)
    seconds = part.method.seconds(part.prior, part.like) if part else None
    if part is None or seconds is None:
        return None
    (height, width), seen = case.prior.tile_size, part.prior.shape[-2] * part.prior.shape[-1]
    return seconds * case.prior.tiles * height * width / seen


def _middle(restoration: Restoration, case: Case) -> Case | None:
    """The case of a tile's part in the middle."""
    if case.loaded.about["kind"] != "picture" or restoration.region:
        return None
    scale = max(1, case.prior.shape[-1] // case.loaded.x.shape[-1])  # of an image to its file
    (height, width), tile = case.loaded.size, min(case.prior.tile_size) // scale - 32
    tile -= tile % case.prior.stride
    part = ((width - tile) // 2, (height - tile) // 2, tile, tile)
    try:
        return replace(restoration, region=part, _settings={}).case(case.source)
    except PosterioriError:
        return None


def within(
    restoration: Restoration, sources: Sequence[Source], seconds: float, out: Path, *, free: bool
) -> Restoration:
    """``restoration`` with as many of its steps as fit into the time; if ``free``, with a faster sampler if necessary.

    The number is kept in ``out``, so that the same command takes as many again. PosterioriError if too few would fit.
    """
    method = restoration.method
    if not isinstance(method, Posterior):
        return restoration
    path, identity = (
        out / RESULTS / ".time" / f"{sources[0].name}.json",
        {"seconds": seconds, "sources": [s.name for s in sources]},
    )
    kept = read_json(path) if path.is_file() else {}
    steps, quick = kept.get("steps"), kept.get("quick")
    if kept.get("for") == identity and type(steps) is int and steps > 0 and type(quick) is bool:
        return _by(restoration, _with(method, steps, quick=quick))
    case = restoration.case(sources[0])
    quick = False
    steps, each = _fitting(restoration, case, seconds / len(sources))
    if steps < QUICK and free and method.n == 1 and isinstance(case.like, Linear):
        faster = _by(restoration, _with(method, QUICK, quick=True))
        own, own_each = _fitting(faster, faster.case(sources[0]), seconds / len(sources))
        if own > steps:
            steps, each, quick = own, own_each, True
    if steps < FEWEST:
        least = FEWEST * each * len(sources) / SHARE
        raise PosterioriError(
            f"--time is {seconds:.0f}s, and a step takes {each:.3g}s for each of {len(sources)}: give {least:.0f}s or "
            "more, a --region, or a smaller prior"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json({"for": identity, "steps": steps, "quick": quick}, path)
    return _by(restoration, _with(method, steps, quick=quick))


def _by(restoration: Restoration, method: Posterior) -> Restoration:
    return replace(restoration, method=method, _settings={})  # which have the other method


def _with(method: Posterior, steps: int, *, quick: bool) -> Posterior:
    return replace(method, spec=Spec(DPIR, {}), asked=steps, choice=None) if quick else replace(method, asked=steps)


def _fitting(restoration: Restoration, case: Case, seconds: float) -> tuple[int, float]:
    """How many of its steps fit into so many ``seconds``, at most its own; and the seconds of one."""
    whole = seconds_of_a_picture(restoration, case)
    if whole is None:
        raise PosterioriError(f"{case.source.path} cannot be timed beforehand: give --steps instead of --time")
    each = whole / restoration.steps
    return min(restoration.steps, int(SHARE * seconds / each)), each

"""Black and white, where a file's numbers do not say them."""

from __future__ import annotations

import re

import numpy as np

from posteriori.errors import PosterioriError

#: (black, white) in a file's numbers
Span = tuple[float, float]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_SPAN = re.compile(rf"({_NUMBER})\.\.({_NUMBER})", re.IGNORECASE)

#: the least width of a range, and one over the largest: beyond, numbers of 32 bits end
_LEAST = 1e-30


def read_span(text: str) -> Span:
    """(black, white) of "BLACK..WHITE", like 0..255 or -1..1. PosterioriError where it says none."""
    found = _SPAN.fullmatch(text.replace(" ", ""))
    black, white = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not _LEAST < abs(white - black) < 1 / _LEAST:
        raise PosterioriError(f"--range is {text!r}: give black and white, like 0..255, 0..1 or -1..1")
    return black, white


def on_unit(values: np.ndarray, span: Span) -> np.ndarray:
    """``values`` with black at 0 and white at 1, float32. PosterioriError where they are no finite numbers then."""
    black, white = span
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = ((values - black) / (white - black)).astype(np.float32)
    if not np.isfinite(found).all():
        raise PosterioriError(
            f"samples from {values.min():g} to {values.max():g} have no finite place in {black:g}..{white:g}, black to "
            "white: name another --range"
        )
    return found


class Unstated(Exception):
    """Samples whose black and white nobody said."""


def find_span(
    samples: np.ndarray, floating: bool, bits: int, given: str | None, declared: int | None
) -> tuple[Span, tuple[str, ...]]:
    """(black, white) of ``samples`` of 16 or 32 ``bits``, and what to say of it.

    ``given`` is the user's "BLACK..WHITE", and ``declared`` the file's white. Raises Unstated if nothing says it.
    """
    low, high = float(samples.min()), float(samples.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("it holds NaN or infinity")
    if given is not None:
        return read_span(given), (f"{given} was taken as black to white",)
    if bits == 32:
        if floating and low >= 0 and high <= 1:
            return (0.0, 1.0), ("floating-point samples: 0..1 was taken as black to white",)
        raise Unstated(
            f"has 32-bit samples from {low:g} to {high:g}, and does not say which is white: name black and white with "
            "--range, like 0..255"
        )
    most = 2**16 - 1
    if declared and declared < most:
        return (0.0, float(declared)), (f"0..{declared} was taken as black to white, as the file says",)
    used = next((n for n in (8, 10, 12) if high < 2**n), 16)
    if used == 16 or high == 0:
        return (0.0, float(most)), ()
    white = 2**used - 1
    note = (
        f"no sample of 16 bits is above {high:.0f}: 0..{white} was taken as black to white (--range 0..{most} for all)"
    )
    return (0.0, float(white)), (note,)

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

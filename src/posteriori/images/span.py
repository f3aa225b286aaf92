"""Black and white, where a file's numbers do not say them."""

from __future__ import annotations

import re

from posteriori.errors import PosterioriError

#: (black, white) in a file's numbers
Span = tuple[float, float]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_SPAN = re.compile(rf"({_NUMBER})\.\.({_NUMBER})", re.IGNORECASE)


def read_span(text: str) -> Span:
    """(black, white) of "BLACK..WHITE", like 0..255 or -1..1. PosterioriError where it says none."""
    found = _SPAN.fullmatch(text.replace(" ", ""))
    black, white = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if black == white:
        raise PosterioriError(f"--range is {text!r}: give black and white, like 0..255, 0..1 or -1..1")
    return black, white

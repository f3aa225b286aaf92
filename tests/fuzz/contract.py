"""What every reader keeps to, whatever it is given: it reads, or raises PosterioriError with one line.

``make test`` gives each reader a few inputs, the same ones every time. ``POSTERIORI_FUZZ=120 pytest tests/fuzz`` gives
each test random ones for 120 seconds of the processor, and reports every different error.
"""

from __future__ import annotations

import os
import resource
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from posteriori.errors import PosterioriError, sentence

#: seconds of the processor for which each test goes on with random inputs; none for the few of every day
SECONDS = float(os.environ.get("POSTERIORI_FUZZ", 0))
#: of the processor, that a reader may take for an input
LIMIT = 10.0
#: bytes that a reader may ask for beyond what the process has
ROOM = 2**30

_QUICK = {"max_examples": 15, "derandomize": True, "deadline": None, "phases": [Phase.generate]}
_LONG = {"max_examples": 100, "deadline": None, "phases": [Phase.generate]}
_SETTINGS = settings(
    **(_LONG if SECONDS else _QUICK), database=None, suppress_health_check=list(HealthCheck), print_blob=False
)


def fuzz(*args: Any, **kwargs: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Hypothesis' ``given``, quick or long."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        counted, calls = _counted(test)
        once = _SETTINGS(given(*args, **kwargs)(counted))
        return pytest.mark.timeout(20 * SECONDS + 600)(_long(once, calls)) if SECONDS else once

    return decorate


def _counted(test: Callable[..., None]) -> tuple[Callable[..., None], Iterator[int]]:
    calls = count()

    @wraps(test)
    def counted(*args: Any, **kwargs: Any) -> None:
        next(calls)
        test(*args, **kwargs)

    return counted, calls


def _long(once: Callable[..., None], calls: Iterator[int]) -> Callable[..., None]:
    """``once`` again and again with other inputs; every different error at the end."""

    @wraps(once)
    def test(**chosen: Any) -> None:
        start, first, found, rounds = time.process_time(), next(calls), {}, time.time_ns()
        while time.process_time() < start + SECONDS:
            rounds += 1
            try:
                seed(rounds)(once)(**chosen)
            except Exception as error:
                for own in getattr(error, "exceptions", [error]):
                    frames = [f for f in traceback.extract_tb(own.__traceback__) if "/posteriori/" in f.filename]
                    where = (type(own).__name__, str(frames[-1:]))
                    if where not in found:
                        found[where] = own
                        traceback.print_exception(own)
        took, n = time.process_time() - start, next(calls) - first - 1
        print(f"{once.__name__} {chosen}: {n} inputs in {took:.0f} s of the processor, {len(found)} errors")
        if found:
            raise ExceptionGroup(once.__name__, list(found.values()))

    return test


@contextmanager
def contract() -> Generator[None]:
    """The block reads what it is given, or says in one line what a user can mend, within ``ROOM`` and ``LIMIT``."""
    with _room():
        start = time.process_time()
        try:
            yield
        except (PosterioriError, OSError) as error:
            said = sentence(error, "")  # as the command line prints it
            assert said.isprintable(), f"more than a line, or what a terminal does not print: {said!r}"
            assert len(said) > 10, f"no clear line: {said!r}"
        assert time.process_time() < start + LIMIT, "takes too long"


@contextmanager
def _room() -> Generator[None]:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    now = int(statm.read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@st.composite
def damaged(draw: Any, seeds: Sequence[bytes], first: int = 512) -> bytes:
    """One of ``seeds`` with bytes changed, mostly among the ``first``, where headers are; or cut, or bytes alone."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 5))):
        last = len(data) if draw(st.booleans()) else min(first, len(data))
        at = draw(st.integers(0, last))
        match draw(st.sampled_from(("byte", "byte", "number", "number", "cut", "drop", "insert", "repeat"))):
            case "byte":
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "number":
                size, order = draw(st.sampled_from((1, 2, 4))), draw(st.sampled_from(("little", "big")))
                number = draw(st.sampled_from(_NUMBERS)) % 256**size
                data[at : at + size] = number.to_bytes(size, order)
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 64))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case _:
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
    return bytes(data)


#: values instead of any other, in JSON and TOML
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2, 3, 2**31, 2**63, 10**30, 10**400, 1e308, 0.5, 1e-320]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "epsilon", "linear", "../..", "\x1b[31m", "a\nb", "0x10", "1e400"]),
    st.lists(st.integers(-1, 3), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@st.composite
def altered(draw: Any, values: Any) -> Any:
    """``values`` of JSON with a few of them, anywhere, left out, added or put instead of others."""
    for _ in range(draw(st.integers(1, 3))):
        values = _altered(draw, values)
    return values


def _altered(draw: Any, values: Any) -> Any:
    if isinstance(values, dict) and values and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(values, key=str)))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            return {k: v for k, v in values.items() if k != key}
        if kind == 1:
            return values | {draw(st.text(max_size=6)): draw(JUNK)}
        return values | {key: _altered(draw, values[key])}
    if isinstance(values, list) and values and draw(st.booleans()):
        i = draw(st.integers(0, len(values) - 1))
        return [*values[:i], _altered(draw, values[i]), *values[i + 1 :]]
    return draw(JUNK)

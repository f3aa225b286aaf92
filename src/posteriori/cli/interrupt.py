"""Ctrl-C, which ends a command wherever it comes."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

#: seconds after which one that was ignored comes again
_AGAIN = 0.05


@contextmanager
def heard() -> Generator[None]:
    """Has Ctrl-C come again where Python prints and ignores it: in destructors and callbacks of weak references."""
    before = sys.unraisablehook

    def told(ignored: UnraisableHookArgs) -> None:
        if issubclass(ignored.exc_type, KeyboardInterrupt):
            threading.Timer(_AGAIN, _thread.interrupt_main).start()  # later, since here it would be ignored as well
        else:
            before(ignored)

    sys.unraisablehook = told
    try:
        yield
    finally:
        sys.unraisablehook = before

"""The heap of a process that is ours alone: memory that was freed is used again."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

#: what the user may have said of it (mallopt(3))
_GIVEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")
#: glibc's numbers, and values: a mapping of its own from 1 GiB up; 2 GiB free before any is given back
_MMAP_THRESHOLD, _TRIM_THRESHOLD = (-3, 2**30), (-1, 2**31 - 1)


def keep_freed() -> None:
    """Has this process use freed memory again, where it would go back to the system (glibc alone has to be told).

    glibc maps every array of more than 32 MiB anew and unmaps it when it is freed; the system fills each page with
    zeros when it is first touched. Arithmetic on pictures of megapixels spends most of its time there. What the
    user has set in the environment stays.
    """
    if any(name in os.environ for name in _GIVEN):
        return
    with suppress(OSError, AttributeError, TypeError):  # no such function: another C library
        libc = ctypes.CDLL(None)
        for parameter, value in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            libc.mallopt(parameter, value)

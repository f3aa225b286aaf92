"""A folder held by one command, while others that want it are refused.

Only folders are locked. Two commands on one URL do the same jobs twice, which costs time and harms nothing: every
result is whole, and the same settings give the same one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from posteriori.files import PARTIAL, TEMPORARY, room_in, writable_folder


@contextmanager
def held(file: Path, taken: Callable[[], str]) -> Generator[None]:
    """Holds ``file`` against other processes; OSError, which says ``taken()``, where one of them has it."""
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OSError(taken()) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def claimed_folder(path: str | Path) -> Generator[Path]:
    """``path`` made a writable folder and held: another posteriori command that wants it gets an OSError.

    What a killed command left half-written in it is removed.
    """
    folder = writable_folder(path)
    holder = folder / ".lock.pid"  # a file of its own: to open the other one empties it

    def taken() -> str:
        process = f" (process {holder.read_text()})" if holder.is_file() else ""
        return f"{path} is being written by another posteriori command{process}: wait for it, or give another --out"

    with room_in(path), held(folder / ".lock", taken):
        try:
            holder.write_text(str(os.getpid()))
            for left in folder.glob(f".*{PARTIAL}"):
                shutil.rmtree(left, ignore_errors=True)
            for left in folder.rglob(".*.tmp*"):
                if TEMPORARY.fullmatch(left.name):
                    left.unlink(missing_ok=True)
            yield folder
        finally:
            holder.unlink(missing_ok=True)

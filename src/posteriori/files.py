"""Files that are either whole or not there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Generator[Path]:
    """A temporary path beside ``path`` (same suffix) to write to; it replaces ``path`` when the block succeeds.

    On an error in the block the temporary file is removed and ``path`` keeps what it held. A link is
    followed: its target is replaced. Raises FileNotFoundError where the folder does not exist and
    OSError where ``path`` is a folder, a device or anything else that is not a file.
    """
    target = Path(path).resolve()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: the folder {target.parent} does not exist; create it first")
    if target.exists() and not target.is_file():
        raise OSError(f"{path} cannot be written: it exists and is not a file; give another name")
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp{target.suffix}")
    try:
        yield temporary
        # Contents reach the disk before the name does, or a power cut could leave an empty file.
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def writable_folder(path: str | Path) -> Path:
    """Makes ``path`` a folder that can be written to, before any work is spent; raises OSError where it cannot be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{uuid.uuid4().hex}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(f"{path} cannot be written to ({error.strerror}): give another folder with --out") from None
    return folder

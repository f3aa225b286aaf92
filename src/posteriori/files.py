"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from posteriori.errors import PosterioriError

#: what a disk says that takes no more, and what to do about it
_REFUSALS = {
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
        "make room and run the same command again; what was finished is kept",
    ),
    errno.EROFS: "give another place",
}
#: how the name of a folder ends that is not whole yet
PARTIAL = ".partial"
#: the name of a file that is not whole yet
TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp(\..*)?")


@contextmanager
def room_in(place: object) -> Generator[None]:
    """Says of a disk that takes no more, in one line, what to do about ``place``."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise OSError(f"{place} cannot be written to ({error.strerror}): {_REFUSALS[error.errno]}") from None


@contextmanager
def atomic_path(path: str | Path, *, sync: bool = True) -> Generator[Path]:
    """A temporary path beside ``path`` (same suffix) to write to; it replaces ``path`` when the block succeeds.

    Without ``sync``, which waits for the disk, that holds of everything but a power cut: whoever reads the file has to
    see that it is damaged.

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
        if sync:  # contents reach the disk before the name does, or a power cut could leave an empty file
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Generator[Path]:
    """A temporary folder beside ``path`` to fill; it takes the place of ``path`` when the block succeeds.

    On an error in the block it is removed and ``path`` keeps what it held. What a kill leaves begins with a
    dot and ends in ``PARTIAL``. Raises OSError where ``path`` is not a folder, or cannot be made.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_dir():
        raise OSError(f"{path} cannot be written: it exists and is not a folder; give another name")
    partial, old = (target.with_name(f".{uuid.uuid4().hex}{PARTIAL}") for _ in range(2))
    try:
        with room_in(path):
            partial.mkdir(parents=True)
            yield partial
            if target.exists():
                target.rename(old)
            partial.rename(target)
    except OSError as error:
        if error.errno is None or partial.exists():
            raise
        why = "give another place, and leave its folder there meanwhile"
        raise type(error)(f"{path} cannot be written ({error.strerror}): {why}") from None
    finally:
        if old.exists() and not target.exists():  # the second renaming failed
            old.rename(target)
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


def write_json(value: Any, path: str | Path) -> None:
    """``value`` as indented JSON, whole or not at all; numbers that are not finite become null."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(as_json_text(value))


def as_json_text(value: Any) -> bytes:
    """``value`` as ``write_json`` writes it."""
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is not UTF-8 holds surrogates, which Python's backslashes write as JSON does.
    return text.encode("utf-8", errors="backslashreplace")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def parse_json(text: str | bytes) -> Any:
    """The value in ``text``; ValueError where it is not JSON, or nested too deep to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in ``file``; PosterioriError, one line, where there is none."""
    try:
        values = parse_json(file.read_text("utf-8-sig"))  # Notepad and PowerShell begin it with a mark
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise type(error)(f"{file} cannot be read ({error.strerror}): give a JSON file") from None
    except ValueError as error:
        raise PosterioriError(f"{file} is not JSON ({error})") from None
    if not isinstance(values, dict):
        raise PosterioriError(f"{file} is not a JSON object")
    return values


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 160 characters that a terminal prints."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    return "".join(c if c.isprintable() else "?" for c in text)


def writable_folder(path: str | Path) -> Path:
    """Makes ``path`` a folder that can be written to, before any work is spent; raises OSError where it cannot be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{uuid.uuid4().hex}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
        raise OSError(f"{path} cannot be written to ({why}): give another folder with --out") from None
    return folder

"""Gets checkpoints into ``cache_dir``: downloads them, or copies a local file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import requests

from posteriori.errors import PosterioriError
from posteriori.files import atomic_path
from posteriori.hub.cards import Card, CardFile, cache_dir, find_file, known_hashes, refusal, sha256, vouch
from posteriori.jobs.lock import held
from posteriori.progress import bar

TIMEOUT = (10, 60)  # seconds to connect, and to wait for the next bytes
CHUNK = 1 << 16  # bytes


class _Refused(Exception):
    """A copy that cannot be had, and why."""


def pull(card: Card, vouched: str | None = None, *, quiet: bool = False, say: Callable[[str], object]) -> Path:
    """Downloads the first available copy of the card, and returns its path in ``cache_dir``.

    ``vouched`` is a sha256 that the caller trusts: then only copies are tried that have this hash, or none, on the
    card. Interrupted downloads resume. ``say`` is told if the file already exists, and why earlier copies failed.
    Raises OSError if no copy can be had, with a way to get one by hand, or if the disk cannot take it.
    """
    vouched = _digest(vouched)
    if not vouched and (path := _here(card, known_hashes(card), say)):  # which needs no lock, or place to write to
        return path
    with _locked(card) as folder:
        path = _here(card, {vouched} if vouched else known_hashes(card), say)
        path = path or _first_copy(card, folder, vouched, quiet, say)
        if vouched:
            vouch(path, vouched)
    return path


def _here(card: Card, hashes: Set[str], say: Callable[[str], object]) -> Path | None:
    path = find_file(card, hashes)
    if path:
        say(f"{path} is here already, and its hash is right")
    return path


def add(card: Card, file: Path, vouched: str | None = None, *, quiet: bool = False) -> Path:
    """Copies ``file``, a checkpoint that the card describes, into ``cache_dir``, and returns its path there.

    ``vouched`` is its sha256 if the card does not record it; the file's tensors must then be those of the card's
    network. Raises FileNotFoundError or IsADirectoryError if ``file`` is missing or a folder, PosterioriError if it is
    not the card's, OSError if it cannot be copied.
    """
    vouched = _digest(vouched)
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder: give the checkpoint in it, e.g. {file / card.files[0].name}")
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: download it from {card.files[0].by_hand}")
    digest = sha256(file)
    if vouched and digest != vouched:
        raise PosterioriError(
            f"{file} has sha256 {digest}, and --sha256 is {vouched}: get the file again, or correct it"
        )
    if not vouched and digest not in known_hashes(card):
        raise PosterioriError(refusal(card, file))
    # a file that only the user knows takes the place of one that the card does not know either
    copy = min(card.files, key=lambda f: (f.sha256 != digest, f.sha256 is not None))
    if copy.sha256 != digest:
        _check_network(card, file)
    with _locked(card) as folder:
        path = folder / copy.name
        if not path.is_file() or sha256(path) != digest:
            with atomic_path(path) as temporary, file.open("rb") as source:
                _write(iter(partial(source.read, CHUNK), b""), temporary, "wb", copy.name, file.stat().st_size, quiet)
        _beginning(path).unlink(missing_ok=True)
        if vouched:
            vouch(path, vouched)
    return path


def _first_copy(card: Card, folder: Path, vouched: str | None, quiet: bool, say: Callable[[str], object]) -> Path:
    copies = [copy for copy in card.files if vouched is None or copy.sha256 in (None, vouched)]
    if not copies:
        raise PosterioriError(
            f"every copy of {card.name} has a recorded hash, and none is {vouched}: leave out --sha256"
        )
    failures = []
    for copy in copies:
        path = folder / copy.name
        beginning = _beginning(path)
        try:
            _fetch(copy, beginning, vouched, quiet)
            _check(card, copy, beginning, vouched)
        except (_Refused, requests.RequestException) as error:
            failures.append(f"{copy.name} from {urlsplit(copy.url).netloc}: {_reason(error)}")
        else:
            os.replace(beginning, path)
            for failure in failures:
                say(failure)
            return path
    by_hand = " or ".join(f"{_describe(copy)} from {copy.by_hand}" for copy in copies)
    command = f"posteriori priors add {card.name} FILE" + (f" --sha256 {vouched}" if vouched else "")
    raise OSError(
        f"{card.name} could not be downloaded ({'; '.join(failures)}): get {by_hand} by hand, then `{command}` "
        f"puts it into {folder}"
    )


def _beginning(path: Path) -> Path:
    """The file that holds the first bytes of an unfinished download of ``path``."""
    return path.with_name(f"{path.name}.partial")


def _fetch(copy: CardFile, beginning: Path, vouched: str | None, quiet: bool) -> None:
    """Completes ``beginning``, the first bytes of the copy, which may be missing."""
    if copy.sha256 is None and vouched is None:
        raise _Refused("no hash is recorded for it, so that it takes --sha256 HASH")
    have = beginning.stat().st_size if beginning.is_file() else 0
    if copy.bytes is not None:
        if have == copy.bytes:
            return
        have = have if have < copy.bytes else 0
    headers = {"Accept-Encoding": "identity"}  # the bytes themselves, or a range of them would mean something else
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(copy.url, headers=headers, stream=True, timeout=TIMEOUT) as reply:
        if reply.status_code == requests.codes.requested_range_not_satisfiable and have:
            if reply.headers.get("Content-Range") != f"bytes */{have}":  # it is not complete, so it is too long
                beginning.unlink()
                _fetch(copy, beginning, vouched, quiet)
            return
        reply.raise_for_status()
        if reply.headers.get("Content-Type", "").startswith("text/html"):
            raise _Refused("a web page came instead of the file")
        if reply.status_code != requests.codes.partial_content:
            have = 0  # the server does not know ranges and starts over
        total = have + int(reply.headers["Content-Length"]) if "Content-Length" in reply.headers else None
        if copy.bytes is not None and total not in (None, copy.bytes):
            raise _Refused(f"it has {total:,} bytes there, expected {copy.bytes:,}")
        try:
            _write(reply.iter_content(CHUNK), beginning, "ab" if have else "wb", copy.name, total, quiet)
        except requests.RequestException:
            have = beginning.stat().st_size
            raise _Refused(f"broke off after {have:,} bytes, from which the next pull goes on") from None


def _write(
    chunks: Iterable[bytes], path: Path, mode: Literal["ab", "wb"], name: str, total: int | None, quiet: bool
) -> None:
    """Writes ``chunks`` to ``path``, ``total`` bytes with what it has; a bar called ``name`` unless ``quiet``."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    with bar("", quiet=quiet) as shown:
        shown.columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        try:
            with path.open(mode) as out:
                task = shown.add_task(name, total=total, completed=out.tell())
                for chunk in chunks:
                    out.write(chunk)
                    shown.advance(task, len(chunk))
        except requests.RequestException:  # an OSError that is not the disk's
            raise
        except OSError as error:
            raise OSError(f"{path} cannot be written ({error.strerror}): make room there, then try again") from None


def _check(card: Card, copy: CardFile, path: Path, vouched: str | None) -> None:
    """Removes the download if it is not what was expected."""
    digest, expected = sha256(path), vouched or copy.sha256
    try:
        if digest != expected:
            raise _Refused(f"has sha256 {digest}, expected {expected}, and was removed")
        if copy.sha256 is None:
            _check_network(card, path)
    except (_Refused, ValueError) as error:
        path.unlink()
        raise _Refused(str(error)) from None


def _check_network(card: Card, path: Path) -> None:
    from posteriori.hub.load import check_checkpoint

    check_checkpoint(path, card)


@contextmanager
def _locked(card: Card) -> Generator[Path]:
    """``cache_dir``, locked for one process at a time."""
    folder = cache_dir()
    taken = f"{card.name} is being pulled or added by another process: wait until it is done"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{card.name}.lock").touch()
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written to ({error.strerror}): set POSTERIORI_HOME to a folder that can"
        ) from None
    with held(folder / f"{card.name}.lock", lambda: taken):
        yield folder


def _digest(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise PosterioriError(f"--sha256 is {text!r}: give 64 hexadecimal digits, as sha256sum prints them")
    return text and text.lower()


def _describe(copy: CardFile) -> str:
    if copy.sha256 is None:
        return copy.name
    return f"{copy.name} ({f'{copy.bytes:,} bytes, ' if copy.bytes else ''}sha256 {copy.sha256})"


def _reason(error: _Refused | requests.RequestException) -> str:
    if isinstance(error, _Refused):
        return str(error)
    if error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    # the text of these errors fills lines; which of them it is says no network, certificate or proxy
    return f"no connection ({type(error).__name__})"

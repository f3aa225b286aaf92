"""Cards: what must be known about a published checkpoint to use it, and to recognise its file."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from posteriori.errors import PosterioriError
from posteriori.files import atomic_path
from posteriori.names import nearest

if TYPE_CHECKING:  # torch is not needed to download
    from posteriori.priors.unet import Prediction


@dataclass(frozen=True)
class CardFile:
    """One published copy.

    ``url`` is the file itself, ``page`` the page on which a person can get it. Hashes are per copy. ``sha256`` and
    ``bytes`` are None if they are not known.
    """

    name: str
    url: str
    page: str | None = None
    sha256: str | None = None
    bytes: int | None = None

    @property
    def by_hand(self) -> str:
        return self.page or self.url


@dataclass(frozen=True)
class Card:
    """A published guided-diffusion checkpoint.

    ``size`` in pixels; ``schedule`` has diffusers' scheduler names, ``flags`` guided-diffusion's own.
    """

    name: str
    title: str
    size: int
    prediction: Prediction
    licence: str
    schedule: dict[str, Any]
    flags: dict[str, Any]
    files: tuple[CardFile, ...]
    parameters: int | None = None
    notes: str = ""

    @property
    def learned_variance(self) -> bool:
        return self.flags["learn_sigma"]


def cards() -> dict[str, Card]:
    """Every card by name."""
    folder = resources.files("posteriori.hub") / "known"
    found = [_read(file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".toml")]
    return {card.name: card for card in sorted(found, key=lambda card: card.name)}


def load_card(name: str) -> Card:
    """The card called ``name``; PosterioriError lists the existing names, the nearest first."""
    known = cards()
    if name not in known:
        raise PosterioriError(f"no prior to download is called {name!r}: there are {', '.join(nearest(name, known))}")
    return known[name]


def cache_dir() -> Path:
    """The checkpoints' folder: ``$POSTERIORI_HOME/priors``, or ``priors`` in the user's cache (~/.cache/posteriori)."""
    home = os.environ.get("POSTERIORI_HOME")
    return (Path(home).expanduser() if home else user_cache_path("posteriori", appauthor=False)) / "priors"


def checked_file(card: Card) -> Path:
    """A file of the card in ``cache_dir`` with a known hash; otherwise raises with a way to get it."""
    if (found := find_file(card, known_hashes(card))) is not None:
        return found
    here = [path for file in card.files if (path := cache_dir() / file.name).is_file()]
    if not here:
        raise FileNotFoundError(
            f"the weights of {card.name} are not in {cache_dir()}: get them with `posteriori priors pull {card.name}`"
        )
    raise PosterioriError(f"{refusal(card, here[0])}, or start over with `posteriori priors pull {card.name}`")


def find_file(card: Card, hashes: Set[str]) -> Path | None:
    """The first of the card's files in ``cache_dir`` whose hash is one of ``hashes``."""
    paths = [cache_dir() / file.name for file in card.files]
    return next((path for path in paths if path.is_file() and sha256(path) in hashes), None)


def known_hashes(card: Card) -> set[str]:
    """The hashes that the card records, and those that the user vouched for."""
    records = [_record(cache_dir() / file.name) for file in card.files]
    vouched = {record.read_text("utf-8")[:64] for record in records if record.is_file()}
    return vouched | {file.sha256 for file in card.files if file.sha256}


def vouch(path: Path, digest: str) -> None:
    """Records beside ``path``, like ``sha256sum``, that the user trusts a file with this hash."""
    with atomic_path(_record(path)) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n", "utf-8")


def refusal(card: Card, path: Path) -> str:
    """Why ``path`` is not one of the card's files, and what to do."""
    file = next((f for f in card.files if f.name == path.name), card.files[0])
    found, digest = path.stat().st_size, sha256(path)
    if file.bytes is not None and found != file.bytes:
        found_is = f"has {found:,} bytes, expected {file.bytes:,}: it is partial or another file"
    else:
        found_is = f"has sha256 {digest}, expected {file.sha256 or 'none is recorded'}"
    if file.sha256:
        return f"{path} {found_is}; get it again from {file.by_hand}"
    return f"{path} {found_is}; if you trust it, `posteriori priors add {card.name} {path} --sha256 {digest}`"


def card_of(path: Path) -> Card | None:
    """The card that knows the file's hash."""
    digest = sha256(path)
    return next((card for card in cards().values() if digest in known_hashes(card)), None)


def sha256(path: Path) -> str:
    """The hash of the file; an unchanged file is not read twice."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache
def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _read(text: str) -> Card:
    values: dict[str, Any] = tomllib.loads(text)
    values["files"] = tuple(CardFile(**file) for file in values["files"])
    return Card(**values)

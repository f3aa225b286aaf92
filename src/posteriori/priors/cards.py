"""Cards: what has to be known of a published checkpoint before it can be used, and whether a file is that."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from posteriori.names import nearest
from posteriori.priors.unet import Prediction


@dataclass(frozen=True)
class CardFile:
    """One published copy. Hashes are per copy; ``sha256`` and ``bytes`` are None where they are not known."""

    name: str
    url: str
    sha256: str | None = None
    bytes: int | None = None


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
    folder = resources.files("posteriori.priors") / "cards"
    found = [_read(file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".toml")]
    return {card.name: card for card in sorted(found, key=lambda card: card.name)}


def load_card(name: str) -> Card:
    """The card called ``name``; ValueError lists the names there are, the nearest first."""
    known = cards()
    if name not in known:
        raise ValueError(f"no card is called {name!r}; there are {', '.join(nearest(name, known))}")
    return known[name]


def cache_dir() -> Path:
    """Where checkpoints that were downloaded lie: ``$POSTERIORI_HOME/priors``, or ``~/.cache/posteriori/priors``."""
    home = os.environ.get("POSTERIORI_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".cache" / "posteriori") / "priors"


def checked_file(card: Card) -> Path:
    """The card's file in ``cache_dir``, its length and hash as the card says; raises with the way to get it."""
    file = next((f for f in card.files if (cache_dir() / f.name).is_file()), card.files[0])
    path = cache_dir() / file.name
    get_it = f"download {file.url} to {path}"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing (sha256 {file.sha256 or 'not recorded'}): {get_it}")
    found = path.stat().st_size
    if file.bytes is not None and found != file.bytes:
        raise ValueError(f"{path} has {found} bytes, expected {file.bytes}: it is partial or another file; {get_it}")
    digest = sha256(path)
    if digest not in [f.sha256 for f in card.files]:
        # a hash belongs to one copy: a copy without one is the user's to vouch for
        next_step = get_it if file.sha256 else f"if you trust it, `posteriori priors convert {path} DIR --config FILE`"
        raise ValueError(f"{path} has sha256 {digest}, expected {file.sha256 or 'not recorded'}: {next_step}")
    return path


def card_of(path: Path) -> Card | None:
    """The card that knows the file's hash."""
    digest = sha256(path)
    return next((card for card in cards().values() if digest in [f.sha256 for f in card.files]), None)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(text: str) -> Card:
    values: dict[str, Any] = tomllib.loads(text)
    values["files"] = tuple(CardFile(**file) for file in values["files"])
    return Card(**values)

"""The pictures of an experiment: some for tuning, others for the report, and those that the prior was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.images.files import load_image
from posteriori.images.picture import BUNDLED
from posteriori.images.pixels import from_bytes
from posteriori.studies.engine.plan import Pictures
from posteriori.training.data import list_names, load_images, picture_sizes, split_names


@dataclass(frozen=True)
class Split:
    """Settings are chosen on ``tuning`` and measured on ``reported``. ``about`` says which pictures were reported.

    ``training`` is (source, names) of the pictures that were not held out.
    """

    tuning: Pictures | None
    reported: Pictures
    about: str
    training: tuple[Path, tuple[str, ...]] | None = None


def held_out(source: Path, holdout: str, size: int, n: int | None) -> Pictures:
    """The first ``n`` held-out pictures. Raises the same errors as ``split``."""
    _, names = _names(source, holdout)
    return _read(source, names[:n], size)


def split(source: Path, holdout: str, size: int, *, tuning: int, reported: int | None) -> Split:
    """The first third of the held-out pictures for tuning, the others for the report, at most as many as asked for.

    A single picture is reported, and none is left for tuning. Raises PosterioriError if there are no pictures, if their
    sizes differ, or if they are smaller than the prior's.
    """
    training, names = _names(source, holdout)
    third = -(-len(names) // 3) if len(names) > 1 else 0
    chosen, shown = names[:third][:tuning], names[third:][:reported]
    both = _read(source, [*chosen, *shown], size)
    of = f"{source.name}[{holdout}]" if holdout else source.name
    return Split(
        both[: len(chosen)] if chosen else None,
        both[len(chosen) :],
        f"pictures {third + 1} to {third + len(shown)} of the {len(names)} in {of}",
        (source, tuple(training)) if training else None,
    )


def _names(source: Path, holdout: str) -> tuple[list[str], list[str]]:
    names = list_names(source)
    training, held_out = split_names(names, holdout) if holdout else ([], names)
    if not held_out:
        raise PosterioriError(f"holdout {holdout!r} leaves none of the {len(names)} pictures in {source}: give another")
    return training, held_out


def decoded(source: Path, names: Sequence[str], size: int) -> Tensor:
    """``names`` in ``source``, (N, 3, size, size) on [-1, 1]: centre squares resized to ``size``."""
    pixels = load_images(source, list(names), size).pixels
    return from_bytes(torch.stack(list(pixels)))


def _read(source: Path, names: Sequence[str], size: int) -> Pictures:
    _check_sizes(source, names, size)
    return Pictures(tuple(names), decoded(source, names, size))


def bundled(size: int) -> Pictures:
    """The pictures that come with the package."""
    return Pictures(tuple(BUNDLED), torch.cat([load_image(name, size=size) for name in BUNDLED]))


def joined(*several: Pictures) -> Pictures:
    labels = tuple(label for pictures in several for label in pictures.labels)
    return Pictures(labels, torch.cat([pictures.x for pictures in several]))


def by_hash(*several: Pictures) -> dict[str, Tensor]:
    """Every picture, (3, H, W), by its sha256."""
    return {key: row for pictures in several for key, row in zip(pictures.hashes, pictures.x, strict=True)}


def _check_sizes(source: Path, names: Sequence[str], size: int) -> None:
    sizes = picture_sizes(source, names)
    first = names[0]
    for name, found in zip(names, sizes, strict=True):
        if found != sizes[0]:
            raise PosterioriError(
                f"{source} has pictures of several sizes ({first} is {sizes[0][0]} x {sizes[0][1]}, {name} is "
                f"{found[0]} x {found[1]}): their results cannot be averaged; resize them first"
            )
    if min(sizes[0]) < size:
        raise PosterioriError(
            f"{source}/{first} is {sizes[0][0]} x {sizes[0][1]}, the prior's pictures are {size} x {size}: give "
            "pictures of at least that size, or a prior for smaller pictures"
        )

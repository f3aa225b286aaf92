"""A run: everything that decides its result, and the key that follows from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from torch import Tensor

from posteriori.jobs.key import Job
from posteriori.likelihoods import GaussianNoise, Measured, Noise
from posteriori.settings.text import parse_noise_model

#: methods that are no samplers: the estimate that SDEdit starts from, and one call of the denoiser at a time t
MEASUREMENT, DENOISE = "measurement", "denoise"


class Named(Protocol):
    """Clean pictures, loaded or not."""

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """(label, sha256 of the pixels) of each."""
        ...


@dataclass(frozen=True)
class Pictures:
    """N clean pictures: ``x`` is (N, 3, H, W) on [-1, 1], ``labels`` their names."""

    labels: tuple[str, ...]
    x: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice) -> Pictures:
        return Pictures(self.labels[rows], self.x[rows])

    @cached_property
    def hashes(self) -> tuple[str, ...]:
        """The sha256 of each picture's pixels."""
        return tuple(map(pixel_hash, self.x))

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """(label, sha256) of each, as a ``Run`` has them."""
        return tuple(zip(self.labels, self.hashes, strict=True))


def pixel_hash(x: Tensor) -> str:
    """The sha256 of a picture's pixels."""
    return hashlib.sha256(x.numpy().tobytes()).hexdigest()


@dataclass(frozen=True)
class Run(Job):
    """One method on one task, for some pictures and seeds.

    ``prior`` is (name, sha256 of its weights); ``method`` a sampler's text, "measurement" or "denoise(t=100)";
    ``operator`` an operator's text, "" for none; ``sigma`` the noise on [-1, 1], or the text of another noise model;
    ``images`` are (label, sha256) of each picture, none for samples of the prior alone. A row is a picture with a seed.
    The seed draws the noise of the measurement and the sampler's. Rows are computed in groups of ``batch``. ``frames``
    is the number of states kept along each row's path: 1 keeps only the result, 0 no picture.
    """

    prior: tuple[str, str]
    shape: tuple[int, int, int]
    method: str
    operator: str
    sigma: float | str
    images: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    batch: int
    frames: int = 0

    @property
    def label(self) -> str:
        return " on ".join(part.partition("(")[0] for part in (self.method, self.operator) if part)

    @property
    def noise(self) -> Noise[Measured]:
        return parse_noise_model(self.sigma) if isinstance(self.sigma, str) else GaussianNoise(self.sigma)

    @property
    def rows(self) -> list[tuple[int, int]]:
        """(which picture, seed) of every row, a picture's seeds side by side."""
        return [(i, seed) for i in range(max(1, len(self.images))) for seed in self.seeds]

    @property
    def groups(self) -> list[list[tuple[int, int]]]:
        """The rows of every network call. A group is the unit of work, and all that an interruption can lose."""
        return [self.rows[i : i + self.batch] for i in range(0, len(self.rows), self.batch)]

    @property
    def shards(self) -> list[Run]:
        """This run as several, with ``batch`` pictures each, so that a job lists only its own pictures."""
        return [replace(self, images=self.images[i : i + self.batch]) for i in range(0, len(self.images), self.batch)]

    @property
    def jobs(self) -> list[Rows]:
        return [Rows(self, i) for i in range(len(self.groups))]


@dataclass(frozen=True)
class Rows(Job):
    """A run's i-th group of rows. Arithmetic and threads are not in its settings but in its result."""

    run: Run
    i: int

    @property
    def rows(self) -> list[tuple[int, int]]:
        """(which picture, seed) of each."""
        return self.run.groups[self.i]

    @property
    def size(self) -> int:
        return len(self.rows)

    @property
    def label(self) -> str:
        return f"{self.run.label}, group {self.i + 1} of {len(self.run.groups)}"


@dataclass(frozen=True)
class Item:
    """A run's place in an experiment: the ``part`` that asks for it."""

    part: str
    run: Run


def distinct(items: Sequence[Item]) -> list[Item]:
    """The items without those whose run an earlier item has."""
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(item.run.key, item)
    return list(first.values())

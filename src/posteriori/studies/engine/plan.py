"""What a run is: everything that decides what it gives, and the name that follows from it."""

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

#: a run's method where it is no sampler: what SDEdit starts from, and the denoiser's one call at a time t
MEASUREMENT, DENOISE = "measurement", "denoise"


class Named(Protocol):
    """Clean pictures, here or elsewhere."""

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
    ``images`` are (label, sha256) of each picture, none for samples of the prior alone. A row is a picture with a seed,
    which draws its noise and the sampler's; rows are done in groups of ``batch``. ``frames`` counts the states that are
    kept of each row along the path; 1 keeps the result alone, 0 no picture at all.
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
        """The rows of every network call: the unit of work, and of what an interruption loses."""
        return [self.rows[i : i + self.batch] for i in range(0, len(self.rows), self.batch)]

    @property
    def shards(self) -> list[Run]:
        """The same for ``batch`` of the pictures each: a job names its own pictures alone, however many there are."""
        return [replace(self, images=self.images[i : i + self.batch]) for i in range(0, len(self.images), self.batch)]

    @property
    def jobs(self) -> list[Rows]:
        return [Rows(self, i) for i in range(len(self.groups))]


@dataclass(frozen=True)
class Rows(Job):
    """A run's i-th group of rows. The arithmetic and the threads are not among its settings: they are in its result."""

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
    """The items without those whose run an earlier one asks for as well."""
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(item.run.key, item)
    return list(first.values())

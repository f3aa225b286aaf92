"""Inverse problems whose posterior is known in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from zlib import crc32

import torch
from torch import Tensor

from posteriori.likelihoods import Gaussian
from posteriori.priors.base import Prior
from posteriori.rng import Purpose, generator

#: directions of a sliced Wasserstein distance
SLICES = 100


class Statistic(NamedTuple):
    """A number computed from a set of samples.

    ``above`` and ``below`` say what is wrong if it is above or below that of exact samples.
    """

    name: str
    title: str
    above: str = ""
    below: str = ""


@dataclass(frozen=True)
class Problem(ABC):
    """A prior, an operator and noise for every seed, and the posterior of measurements drawn from them.

    The fields decide the statistics. ``n`` samples are drawn for each measurement.
    """

    statistics: ClassVar[tuple[Statistic, ...]]

    n: int

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name in tables."""

    @property
    @abstractmethod
    def family(self) -> str:
        """The name that settings are looked up by, shared by all problems that need the same settings."""

    def stream(self, seed: int, *what: int) -> torch.Generator:
        """This problem's own random numbers: 0 for ``given``, (1, k) for exact samples, 2 for the reference set,
        3 for directions, 4 for the truth.
        """
        return generator(seed, Purpose.OPERATOR, crc32(self.name.encode()), *what)

    @abstractmethod
    def given(self, seed: int) -> tuple[Prior, Gaussian]:
        """The prior, and the likelihood of N measurements."""

    @abstractmethod
    def exact(self, seed: int, k: int) -> Tensor:
        """The k-th set of exact posterior samples, (N, n, *shape), independent of ``statistics_of``'s reference."""

    @abstractmethod
    def statistics_of(self, x: Tensor, seed: int) -> dict[str, Any]:
        """The statistics of samples x, (N, n, *shape), and ``ranks``, counts by name, if there are any."""

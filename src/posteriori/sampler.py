"""Samplers: a path of levels, a first state and a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Protocol, Self

from annotated_types import Ge
from torch import Tensor

from posteriori.bounds import check
from posteriori.likelihoods.base import Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.schedule import Level, Schedule, Spacing

Steps = Annotated[int, Ge(1), "reverse steps over the whole schedule, up to its T levels"]


class Stats(Mapping[str, Tensor]):
    """Statistics of a step by name, (B,) each, computed when they are first read: unread, they cost nothing."""

    def __init__(self, **statistics: Callable[[], Tensor]):
        self._statistics = statistics
        self._read: dict[str, Tensor] = {}

    def default(self, name: str, statistic: Callable[[], Tensor]) -> None:
        """Adds a statistic if there is none of that name."""
        self._statistics.setdefault(name, statistic)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._read:
            self._read[name] = self._statistics[name]()
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._statistics)

    def __len__(self) -> int:
        return len(self._statistics)


@dataclass
class State:
    """The state of a batch of samples. Rows are grouped by measurement, ``n`` for each.

    ``x`` is x_t at ``level``, and ``x0`` the prior's last estimate of x_0, (B, *shape). ``stats`` holds statistics to
    record: "gradient", the norm of a gradient, and "residual", |y - A(x0)|_2, which the loop adds. ``carry`` belongs to
    the sampler.
    """

    x: Tensor
    level: Level
    n: int = 1
    x0: Tensor | None = None
    stats: Stats = field(default_factory=Stats)
    carry: Any = None


class Callback(Protocol):
    """Called after every step; ``rows`` are the measurements that the state holds."""

    def __call__(self, state: State, step: int, steps: int, rows: slice) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """A way to draw from p(x | y). Its fields are its hyperparameters, with the paper's values as defaults.

    PosterioriError if a field violates the bounds of its annotation (``bounds``).
    """

    #: its name on the command line, in presets and in manifests
    name: ClassVar[str]
    #: the type of likelihood that ``init`` and ``step`` take
    requires: ClassVar[type[Likelihood]] = Likelihood
    #: the field to lower when a run ends in NaN
    strength: ClassVar[str] = ""
    #: the field that counts the levels; "" if an inner sampler has it
    count: ClassVar[str] = "steps"
    #: whether a measurement's n samples are drawn together, as particles, so that each depends on n
    interacting: ClassVar[bool] = False
    #: whether all samples of a measurement are one estimate, without randomness
    point: ClassVar[bool] = False
    #: fields that are L2 step lengths over the whole image, proportional to its side
    lengths: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check(self)

    @abstractmethod
    def path(self, schedule: Schedule) -> list[Level]:
        """The levels to visit, from first to last."""

    def advice(self) -> str:
        """What a user can do about NaN."""
        if not self.strength:
            return "check the prior's weights and the measurement"
        return f"lower {self.strength} (now {getattr(self, self.strength)})"

    def with_steps(self, steps: int) -> Self:
        """This sampler with ``steps`` levels over the whole schedule."""
        return replace(self, **{self.count: steps})

    def init(self, t: Level, prior: Prior, like: Any, rng: Rng, n: int) -> State:
        """The state at the first level: noise of that level."""
        return State((t.alpha**2 + t.sigma**2) ** 0.5 * rng.normal(prior.shape), t, n)

    @abstractmethod
    def step(self, state: State, s: Level, prior: Prior, like: Any, rng: Rng) -> State:
        """One step, from ``state.level`` to ``s``."""


@dataclass(frozen=True, kw_only=True)
class SteppedSampler(Sampler):
    """A sampler that visits the levels of ``Schedule.path``."""

    steps: Steps = 1000
    spacing: Annotated[
        Spacing,
        "which levels: linspace, evenly from T to 1; leading, every (T // steps)-th from 1; quadratic, from T to 1, "
        "denser at 1; edm, from T to 1 with evenly spaced (sigma / alpha)^(1/7)",
    ] = "linspace"

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.path(self.steps, self.spacing)


@dataclass(frozen=True, kw_only=True)
class Around(Sampler):
    """A sampler around another, with the steps, levels and requirements of the inner one."""

    count: ClassVar[str] = ""
    #: the field that holds the other
    inside: ClassVar[str]

    @property
    def inner(self) -> Sampler:
        return getattr(self, self.inside)

    @property
    def requires(self) -> type[Likelihood]:  # ty: ignore[incompatible-property-override]
        """What the inner sampler requires."""
        return self.inner.requires

    def path(self, schedule: Schedule) -> list[Level]:
        return self.inner.path(schedule)

    def advice(self) -> str:
        return self.inner.advice()

    def with_steps(self, steps: int) -> Self:
        return replace(self, **{self.inside: self.inner.with_steps(steps)})

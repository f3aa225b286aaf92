"""The sampler noun, and ``sample``: the one loop that every method runs under."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor

from posteriori.likelihood import Likelihood
from posteriori.operator import Operator
from posteriori.priors.base import Prior
from posteriori.rng import Rng, whole
from posteriori.schedule import Level, Schedule
from posteriori.trace import progress_bar


@dataclass
class State:
    """Where a batch of samples stands. Rows are grouped by measurement, ``n`` to each.

    ``x`` is x_t at ``level`` and ``x0`` the last estimate of x_0, (B, *shape); ``stats`` holds (B,)
    tensors to be recorded ("residual" is |y - A(x0)|_2, "gradient" its gradient's norm); ``carry`` is
    the sampler's own.
    """

    x: Tensor
    level: Level
    n: int = 1
    x0: Tensor | None = None
    stats: dict[str, Tensor] = field(default_factory=dict)
    carry: Any = None


class Callback(Protocol):
    """Called after every step; ``rows`` are the measurements that the state holds."""

    def __call__(self, state: State, step: int, steps: int, rows: slice) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Sampler(ABC):
    """A way to draw from p(x | y). The fields are its hyperparameters, with the paper's values."""

    #: what the command line, presets and manifests call it
    name: ClassVar[str]
    requires: ClassVar[type[Operator]] = Operator
    #: the field to lower when a run ends in NaN
    strength: ClassVar[str] = ""
    #: the field that counts the levels; "" where another sampler inside holds it
    count: ClassVar[str] = "steps"
    #: whether a measurement's n samples are drawn together, as particles, so that each depends on n
    coupled: ClassVar[bool] = False
    #: fields that are L2 step lengths over the whole image, proportional to its side
    lengths: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def path(self, schedule: Schedule) -> list[Level]:
        """The levels to visit, first to last."""

    def advice(self) -> str:
        """What to do about NaN."""
        if not self.strength:
            return "check the prior's weights and the measurement"
        return f"lower {self.strength} (now {getattr(self, self.strength)})"

    def with_steps(self, steps: int) -> Self:
        """This sampler with ``steps`` levels over the whole schedule."""
        return replace(self, **{self.count: steps})

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng, n: int) -> State:
        """The state at the first level: pure noise of its size."""
        return State((t.alpha**2 + t.sigma**2) ** 0.5 * rng.normal(prior.shape), t, n)

    @abstractmethod
    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        """From ``state.level`` to ``s``."""


@torch.inference_mode(False)  # in which gradients could not be taken, whoever asked for it outside
@torch.no_grad()
def sample(
    prior: Prior,
    likelihood: Likelihood,
    sampler: Sampler,
    *,
    n: int = 1,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    batch: int | None = None,
    rng: Callable[[slice], Rng] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Tensor:
    """Draws ``n`` posterior samples for each of the N measurements: (N, n, *shape), float32, on the prior's device.

    Measurements in float64 are taken in float32, as the seeded streams are; with draws from ``rng`` they stay.
    ``keys`` names the measurements' random streams (default: from their content). ``batch`` is the
    rows of one network call, default all; a measurement's samples are split where there are more and the sampler
    does not draw them together. ``rng`` gives the draws of a chunk of measurements, with all samples of each, in the
    place of the seeded streams, e.g. a ``Tape``.
    ``callbacks`` see every step. ``progress`` shows a bar on a terminal.

    Raises ValueError where prior, likelihood and sampler do not fit, and FloatingPointError at the
    first NaN or infinity.
    """
    N = len(likelihood)
    if n < 1:
        raise ValueError(f"n is {n}: give at least 1 sample a measurement")
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch}: give at least 1 row")
    if likelihood.shape != prior.shape:
        raise ValueError(
            f"the likelihood is about {likelihood.shape}, the prior about {prior.shape}: give both one shape"
        )
    if not likelihood.supports(sampler.requires):
        raise ValueError(
            f"{type(sampler).__name__} needs a {sampler.requires.__name__}, which this likelihood's is not"
        )
    if keys is not None and len(keys) != N:
        raise ValueError(f"{len(keys)} keys for {N} measurements: give one each")
    keys, seed = likelihood.keys() if keys is None else keys, whole(seed)
    path = sampler.path(prior.schedule)
    group = N if batch is None else max(1, batch // n)
    chunks = [slice(i, min(i + group, N)) for i in range(0, N, group)]
    most = n if batch is None or sampler.coupled or rng else batch
    shares = [(first, min(most, n - first)) for first in range(0, n, most)]
    samples = []
    total = len(chunks) * len(shares) * (len(path) - 1)
    bar = progress_bar(type(sampler).__name__, total) if progress else nullcontext()
    with bar as show:
        watchers = [*callbacks, *([show] if show else [])]
        for rows, (first, count) in product(chunks, shares):
            like = likelihood.select(rows).expand(count).to(prior.device, None if rng else torch.float32)
            streams = rng(rows) if rng else Rng(seed, keys[rows], count, first=first, device=prior.device)
            state = sampler.init(path[0], prior, like, streams, count)
            for k, s in enumerate(path[1:], 1):
                state = sampler.step(state, s, prior, like, streams)
                _check_finite(state, k, len(path) - 1, sampler, prior, path[k - 1])
                for watch in watchers:
                    watch(state, k, len(path) - 1, rows)
            samples.append(state.x.unflatten(0, (-1, count)))
    chunked = [samples[i : i + len(shares)] for i in range(0, len(samples), len(shares))]
    return torch.cat([torch.cat(own, dim=1) for own in chunked])


def _check_finite(state: State, step: int, steps: int, sampler: Sampler, prior: Prior, t: Level) -> None:
    if all(torch.isfinite(value).all() for value in (state.x, *state.stats.values())):
        return
    noise = math.hypot(t.alpha, t.sigma) * Rng(0, [0], device=prior.device).normal(prior.shape)
    own = torch.isfinite(prior.denoise(noise, t).x0).all()
    advice = sampler.advice() if own else "the prior gives that for plain noise, too: check its weights, or its dtype"
    raise FloatingPointError(
        f"{type(sampler).__name__} reached NaN or infinity at step {step} of {steps} "
        f"(t = {state.level.t:g}, sigma = {state.level.sigma:.3g}): {advice}"
    )

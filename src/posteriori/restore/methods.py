"""What is done to a batch of measurements: posterior sampling, or one pass of the denoiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, final

import torch
from torch import Tensor

from posteriori.jobs.cost import seconds_of_a_call, seconds_of_a_step
from posteriori.likelihoods import Additive, Likelihood, Noise
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.priors.channels import Grey, is_grey
from posteriori.sampler import Sampler, State
from posteriori.schedule import Level, Schedule
from posteriori.settings.choosing import Choice
from posteriori.settings.fields import class_fields
from posteriori.settings.presets import Resolved, resolve
from posteriori.settings.text import Spec, format_spec

#: called after every step with the state, where there is one
Tick = Callable[[State | None], None]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with the estimates ``x0`` (k, *shape) of the measurements ``rows``, averaged over their samples.

    ``step`` of ``steps`` were done.
    """

    def __init__(self, x0: Tensor, rows: slice, step: int, steps: int):
        super().__init__()
        self.x0, self.rows, self.step, self.steps = x0, rows, step, steps


class Drawn(NamedTuple):
    """Images x (N, n, *shape), and the number of network ``calls``, with ``rows`` images in each."""

    x: Tensor
    calls: int
    rows: int


class Method(Protocol):
    """A way from measurements to images, for any prior and operator."""

    @property
    def n(self) -> int:
        """Images for each measurement."""
        ...

    @property
    def gradient(self) -> bool:
        """Whether it may take gradients of the denoiser."""
        ...

    def steps(self, schedule: Schedule) -> int:
        """Ticks of a call."""
        ...

    def settled(self, prior: Prior, operator: Operator, noise: Noise) -> Settled:
        """This method for one prior, operator, size and ``noise``, with all settings looked up."""
        ...


class Settled(Protocol):
    """A method whose settings are all known."""

    def takes(self, kind: type[Likelihood]) -> bool:
        """Whether it accepts every likelihood of this ``kind``."""
        ...

    def record(self, prior: Prior) -> dict[str, Any]:
        """The settings, for the manifest."""
        ...

    def describe(self, prior: Prior) -> list[tuple[str, str]]:
        """(name, description) of the settings that the user did not give."""
        ...

    def seconds(self, prior: Prior, like: Likelihood) -> float | None:
        """The estimated seconds for the images of one measurement, from a timed step; None if there is none."""
        ...

    def __call__(self, prior: Prior, like: Likelihood, y: Tensor, seed: int, batch: int, tick: Tick) -> Drawn:
        """The images of the measurements ``y``, (N, ...), whose likelihood is ``like``.

        With at most ``batch`` rows in a network call where they can be split.
        """
        ...


@final
@dataclass(frozen=True)
class Posterior:
    """``n`` posterior samples by the sampler of ``spec``, with presets for the prior and the operator.

    ``asked`` is the number of steps if the spec has none. ``choice`` says why this sampler was taken, if the user left
    it open.
    """

    spec: Spec[Sampler]
    asked: int
    n: int
    choice: Choice | None = None
    gradient: ClassVar[bool] = True

    def steps(self, schedule: Schedule) -> int:
        sampler = self.spec.build()
        count = sampler.count
        return len((sampler if count in self.spec.fields else sampler.with_steps(self.asked)).path(schedule)) - 1

    def settled(self, prior: Prior, operator: Operator, noise: Noise) -> Settled:
        given = {"steps": self.asked} | self.spec.fields
        return Sampling(self, resolve(self.spec.cls, operator, prior, sigma=noise.level, **given))


@final
@dataclass(frozen=True)
class Sampling:
    """Posterior sampling with the ``resolved`` sampler."""

    asked: Posterior
    resolved: Resolved[Sampler]

    def takes(self, kind: type[Likelihood]) -> bool:
        return issubclass(kind, self.resolved.sampler.requires)

    def record(self, prior: Prior) -> dict[str, Any]:
        asked, sampler = self.asked, self.resolved.sampler
        fields = dict.fromkeys((field.name for field in class_fields(type(sampler))), "the class's default")
        counted = {sampler.count: "the steps asked for"} if sampler.count else {}
        return {
            "sampler": format_spec(sampler),
            "chosen": asked.choice and asdict(asked.choice),
            "sources": fields | counted | self.resolved.sources,
            "warning": self.resolved.warning or None,
            "samples": asked.n,
            "steps": len(sampler.path(prior.schedule)) - 1,
        }

    def describe(self, prior: Prior) -> list[tuple[str, str]]:
        resolved, choice = self.resolved, self.asked.choice
        lines = [("chosen", choice.reason)] if choice else []
        lines += [("sampler", format_spec(resolved.sampler))]
        lines += [(name, f"from {source}") for name, source in resolved.sources.items() if source != "given"]
        return lines + ([("warning", resolved.warning)] if resolved.warning else [])

    def seconds(self, prior: Prior, like: Likelihood) -> float | None:
        sampler, n = self.resolved.sampler, self.asked.n
        like = like.to(prior.device)
        if not isinstance(like, sampler.requires):  # which ``sample`` says
            return None
        together = n if sampler.interacting else 1
        steps = len(sampler.path(prior.schedule)) - 1
        return n // together * steps * seconds_of_a_step(sampler, prior, like.expand(together), together)

    def __call__(self, prior: Prior, like: Likelihood, y: Tensor, seed: int, batch: int, tick: Tick) -> Drawn:
        asked, sampler = self.asked, self.resolved.sampler
        if y.ndim == 4 and y.shape[1] == prior.shape[0] and is_grey(y).all():
            if sampler.point:
                prior = Grey(prior, seed)
            elif isinstance(like, Additive):  # which has sqrt(C) sigma in the sum of its channels: see ``Grey``
                like = like.with_sigma(like.sigma * y.shape[1] ** 0.5)
        counted = CountedPrior(prior)
        last: tuple[State, slice, int, int] | None = None
        passes, done = (1 if sampler.interacting else -(-len(like) * asked.n // batch)), 0

        def watch(state: State, step: int, steps: int, rows: slice) -> None:
            nonlocal done, last
            done, last = done + 1, (state, rows, step, steps)
            if done % passes == 0:
                tick(state)

        try:
            x = sample(counted, like, sampler, n=asked.n, seed=seed, batch=batch, callbacks=[watch], progress=False)
        except KeyboardInterrupt:
            if last is None:
                raise
            state, rows, step, steps = last
            x0 = state.x if state.x0 is None else state.x0
            raise Interrupted(x0.unflatten(0, (-1, state.n)).mean(1), rows, step, steps) from None
        return Drawn(x, counted.calls, -(-counted.images // counted.calls))


@final
@dataclass(frozen=True)
class OnePass:
    """The denoiser's E[x_0 | x_0 + sigma n] in one network call; ``choice`` says why, if the user left it open."""

    choice: Choice | None = None
    n: ClassVar[int] = 1
    gradient: ClassVar[bool] = False

    def steps(self, schedule: Schedule) -> int:
        return 1

    def settled(self, prior: Prior, operator: Operator, noise: Noise) -> Settled:
        return OneCall(prior.schedule.at_noise(noise.level), self.choice)


@final
@dataclass(frozen=True)
class OneCall:
    """The denoiser's estimate at ``level``, which has alpha = 1 and the sigma of the noise on [-1, 1]."""

    level: Level
    choice: Choice | None

    def takes(self, kind: type[Likelihood]) -> bool:
        return True

    def record(self, prior: Prior) -> dict[str, Any]:
        return {"t": self.level.t} | ({"chosen": asdict(self.choice)} if self.choice else {})

    def describe(self, prior: Prior) -> list[tuple[str, str]]:
        chosen = [("chosen", self.choice.reason)] if self.choice else []
        return [*chosen, ("t", f"{self.level.t:g} of the prior's {prior.schedule.end:g}: one network call")]

    def seconds(self, prior: Prior, like: Likelihood) -> float | None:
        return seconds_of_a_call(prior, self.level)

    def __call__(self, prior: Prior, like: Likelihood, y: Tensor, seed: int, batch: int, tick: Tick) -> Drawn:
        x0, rows = denoised(prior, y, self.level, batch, seed)
        tick(None)
        return Drawn(x0[:, None], -(-len(y) // rows), rows)


@torch.no_grad()
def denoised(prior: Prior, y: Tensor, level: Level, batch: int, seed: int) -> tuple[Tensor, int]:
    """E[x_0 | y] of ``y`` (N, *shape) at a level with alpha = 1, and the rows in a network call.

    ``Grey`` denoises the grey ones, by ``seed``.
    """
    y = y.to(prior.device)
    x0, grey = torch.empty_like(y), is_grey(y)
    for own, rows in ((prior, ~grey), (Grey(prior, seed), grey)):
        if rows.any():
            x0[rows] = torch.cat([own.denoise(each, level).x0 for each in y[rows].split(batch)])
    if not torch.isfinite(x0).all():
        raise FloatingPointError("the denoiser gave NaN or infinity: check the prior's weights and the picture")
    return prior.clamp(x0), min(batch, len(y))

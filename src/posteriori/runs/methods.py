"""What can be done to a batch of measurements: posterior sampling, or one pass of the denoiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final

import torch
from torch import Tensor

from posteriori.likelihood import Gaussian
from posteriori.operator import Operator
from posteriori.presets import Resolved
from posteriori.prior import Prior
from posteriori.sampler import Sampler, State, sample
from posteriori.schedule import Level
from posteriori.spec import class_fields, format_spec
from posteriori.trace import CountedPrior

#: called after every step with the mean residual, where there is one
Tick = Callable[[float | None], None]


class Method(Protocol):
    """A way from measurements to images."""

    @property
    def n(self) -> int:
        """Images for each measurement."""
        ...

    @property
    def steps(self) -> int:
        """Ticks of a call."""
        ...

    def record(self) -> dict[str, Any]:
        """The settings, for the manifest."""
        ...

    def describe(self) -> list[tuple[str, str]]:
        """(name, what to know of it) of the settings that were not typed."""
        ...

    def __call__(self, y: Tensor, operator: Operator, tick: Tick) -> tuple[Tensor, int]:
        """((N, n, *shape) images of ``y``, (N, ...), network calls)."""
        ...


@final
@dataclass(frozen=True)
class Posterior:
    """``n`` posterior samples by a sampler; ``sigma`` is the measurements' noise on [-1, 1]."""

    prior: Prior
    resolved: Resolved[Sampler]
    sigma: float
    n: int
    seed: int

    @property
    def steps(self) -> int:
        return len(self.resolved.sampler.path(self.prior.schedule)) - 1

    def record(self) -> dict[str, Any]:
        sampler = self.resolved.sampler
        return {
            "sampler": format_spec(sampler),
            "sources": self.sources(),
            "warning": self.resolved.warning or None,
            "samples": self.n,
            "steps": self.steps,
        }

    def sources(self) -> dict[str, str]:
        """Where the value of every field came from."""
        sampler = self.resolved.sampler
        fields = dict.fromkeys((field.name for field in class_fields(type(sampler))), "the class's default")
        return fields | ({sampler.count: "the steps asked for"} if sampler.count else {}) | self.resolved.sources

    def describe(self) -> list[tuple[str, str]]:
        lines = [("sampler", format_spec(self.resolved.sampler))]
        chosen = [(n, text) for n, text in self.resolved.sources.items() if text != "given"]
        lines += [(name, f"from {text}") for name, text in chosen]
        return lines + ([("warning", self.resolved.warning)] if self.resolved.warning else [])

    def __call__(self, y: Tensor, operator: Operator, tick: Tick) -> tuple[Tensor, int]:
        def watch(state: State, step: int, steps: int, rows: slice) -> None:
            residual = state.stats.get("residual")
            tick(None if residual is None else float(residual.mean()))

        prior = CountedPrior(self.prior)
        like = Gaussian(y, operator, self.sigma)
        x = sample(prior, like, self.resolved.sampler, n=self.n, seed=self.seed, callbacks=[watch], progress=False)
        return x, prior.calls


@final
@dataclass(frozen=True)
class OnePass:
    """The denoiser's E[x_0 | x_0 + sigma n] in one network call; ``level`` has alpha = 1 and sigma on [-1, 1]."""

    prior: Prior
    level: Level
    n: ClassVar[int] = 1
    steps: ClassVar[int] = 1

    def record(self) -> dict[str, Any]:
        return {"t": self.level.t}

    def describe(self) -> list[tuple[str, str]]:
        return [("t", f"{self.level.t:g} of the prior's {self.prior.schedule.T}: one network call")]

    @torch.no_grad()
    def __call__(self, y: Tensor, operator: Operator, tick: Tick) -> tuple[Tensor, int]:
        x0 = self.prior.denoise(y.to(self.prior.device), self.level).x0
        if not torch.isfinite(x0).all():
            raise FloatingPointError("the denoiser gave NaN or infinity: check the prior's weights and the picture")
        if self.prior.bounds:
            x0 = x0.clamp(*self.prior.bounds)
        tick(None)
        return x0[:, None], 1

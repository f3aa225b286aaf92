"""Recorders of a run: callbacks for ``sample``, and a counter of network calls."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from torch import Tensor

from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.progress import bar
from posteriori.sampler import Callback, State
from posteriori.schedule import Level

#: seconds between two redraws of a bar
_REDRAWN = 0.1


class Trajectory:
    """Records x_s, x0 and the statistics of every step, on the CPU: lists in the order of the path."""

    def __init__(self) -> None:
        self.x: list[Tensor] = []
        self.x0: list[Tensor] = []
        self.levels: list[Level] = []
        self.stats: list[dict[str, Tensor]] = []

    def __call__(self, state: State, step: int, steps: int, rows: slice) -> None:
        self.x.append(state.x.cpu().clone())
        if state.x0 is not None:
            self.x0.append(state.x0.cpu().clone())
        self.levels.append(state.level)
        self.stats.append({name: value.cpu() for name, value in state.stats.items()})


class CountedPrior(Wrapped):
    """A prior that counts its network calls: ``calls``, for ``images`` images in all.

    ``vjps`` counts the images whose gradient went through the network.
    """

    def __init__(self, prior: Prior):
        super().__init__(prior)
        self.calls = 0
        self.images = 0
        self.vjps = 0

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        self.calls += 1
        self.images += len(x_t)
        denoised = self.prior.denoise(x_t, t)
        if denoised.x0.requires_grad:
            denoised.x0.register_hook(self._count_vjp)
        return denoised

    def _count_vjp(self, g: Tensor) -> None:
        self.vjps += len(g)


class ShownResidual:
    """The mean residual for a bar. It is read only when the bar is redrawn, since reading waits for the device."""

    def __init__(self) -> None:
        self.shown: float | None = None
        self._due = 0.0

    def __call__(self, state: State) -> float | None:
        """The residual of ``state``, or of a state up to 0.1 s ago; None if there is none."""
        if (now := time.monotonic()) >= self._due:
            self._due = now + _REDRAWN
            self.shown = float(state.stats["residual"].mean()) if "residual" in state.stats else None
        return self.shown


@contextmanager
def progress_bar(label: str, total: int) -> Generator[Callback | None]:
    """A bar on stderr with the mean residual and the time left; None if stderr is not a terminal."""
    with bar("|y - A x0| {task.fields[residual]}", transient=True) as progress:
        task = progress.add_task(label, total=total, residual="-")
        residual = ShownResidual()

        def show(state: State, step: int, steps: int, rows: slice) -> None:
            mean = residual(state)
            progress.update(task, advance=1, residual="-" if mean is None else f"{mean:.2f}")

        yield None if progress.disable else show

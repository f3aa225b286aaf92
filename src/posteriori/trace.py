"""Recorders of a run: callbacks for ``sample`` and a counter of network calls."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.progress import bar
from posteriori.schedule import Level

if TYPE_CHECKING:
    from posteriori.sampler import Callback, State


class Trajectory:
    """Records x_s, x0 and the stats of every step, on the CPU: lists in the order of the path."""

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
    """A prior that counts its network calls: ``calls`` of them, for ``images`` images in all.

    ``vjps`` are the images whose gradient went back through the network.
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


@contextmanager
def progress_bar(label: str, total: int) -> Generator[Callback]:
    """A bar on stderr with the mean residual and the time left; nothing where stderr is no terminal."""
    with bar("|y - A x0| {task.fields[residual]}", transient=True) as progress:
        task = progress.add_task(label, total=total, residual="-")

        def show(state: State, step: int, steps: int, rows: slice) -> None:
            residual = state.stats.get("residual", torch.empty(0))
            shown = f"{float(residual.mean()):.2f}" if residual.numel() else "-"
            progress.update(task, advance=1, residual=shown)

        yield show

"""Inputs that are restored together: the computation, in this process or in others."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from posteriori.images.files import save_image
from posteriori.jobs.executor import Tick
from posteriori.jobs.faults import Halving
from posteriori.jobs.key import Job, as_json
from posteriori.jobs.memory import peak_memory
from posteriori.likelihoods import Each, Likelihood
from posteriori.observers import ShownResidual
from posteriori.priors.base import Prior
from posteriori.restore.entry import Case
from posteriori.restore.inputs import unfinished
from posteriori.restore.methods import Drawn, Interrupted
from posteriori.restore.restoration import Restoration
from posteriori.sampler import State


@dataclass(frozen=True, eq=False)
class Batch(Job):
    """Inputs that are restored together, with one operator, or with a mask each."""

    restoration: Restoration
    cases: tuple[Case, ...]

    @property
    def settings(self) -> dict[str, Any]:
        inputs = {case.source.name: case.loaded.about["sha256"] for case in self.cases}
        return as_json({**self.restoration.settings(self.cases[0]), "inputs": inputs})

    def __reduce__(self):  # without the networks, which a process has once: see ``Solve``
        content = io.BytesIO()
        _Packing(content, self.restoration.prior.networks).dump((self.restoration, self.cases))
        return _unpacked, (content.getvalue(),)

    @property
    def label(self) -> str:
        more = f" and {len(self.cases) - 1} more" if len(self.cases) > 1 else ""
        return f"{self.cases[0].source.name}{more}"


#: sees a batch after each of its steps, with the state of the sampler where there is one
Watch = Callable[[Batch, State | None], object]


class Restored(NamedTuple):
    """The images of each case, (n, C, H, W) on the CPU, and their cost."""

    x: list[Tensor]
    cost: dict[str, Any]


def _together(cases: Sequence[Case]) -> Likelihood:
    first, y = cases[0], torch.cat([case.y for case in cases])
    if all(case.operator == first.operator and case.noise == first.noise for case in cases):
        return first.like.with_y(y)
    return Each([case.like for case in cases])


class _Packing(pickle.Pickler):
    """Writes a prior's networks as their places among them."""

    def __init__(self, file: io.BytesIO, networks: Sequence[nn.Module]):
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.networks = networks

    def persistent_id(self, obj: Any) -> int | None:
        return next((place for place, network in enumerate(self.networks) if network is obj), None)


class _Unpacking(pickle.Unpickler):
    def persistent_load(self, pid: int) -> nn.Module:
        assert Solve.networks, "batches come after Solve"
        return Solve.networks[pid]


def _unpacked(content: bytes) -> Batch:
    batch = Batch(*_Unpacking(io.BytesIO(content)).load())
    if (prior := batch.cases[0].prior).checkpointing:
        prior.save_memory()  # which the network here has not been told
    return batch


class Solve:
    """Restores batches. In another process, which reports to nobody, it loads the prior by ``load``."""

    #: of this process, where batches come from another
    networks: ClassVar[tuple[nn.Module, ...]] = ()

    def __init__(
        self,
        out: Path,
        load: Callable[[], Prior] | None,
        say: Callable[[str], object] = lambda _: None,
        watch: Watch = lambda _, __: None,
    ):
        self.out, self.load, self.say, self.watch = out, load, say, watch
        self.halvings: dict[int, Halving] = {}  # by the rows that are asked for

    def __reduce__(self):
        return _received, (self.out, self.load)

    def __call__(self, batch: Batch, tick: Tick) -> Restored:
        rows = batch.restoration.rows
        halving = self.halvings.setdefault(rows, Halving(rows, self.say))
        return _solve(halving, self.out, self.watch, batch, tick)


def _received(out: Path, load: Callable[[], Prior]) -> Solve:
    Solve.networks = load().networks
    return Solve(out, load)


def _solve(halving: Halving, out: Path, watch: Watch, batch: Batch, tick: Tick) -> Restored:
    restoration, first, done, residual = batch.restoration, batch.cases[0], 0, ShownResidual()
    started, n = time.perf_counter(), restoration.method.n

    def step(state: State | None) -> None:
        nonlocal done
        done += 1
        shown = residual(state) if state else None
        watch(batch, state)
        tick(done / restoration.steps, "" if shown is None else f"|y - A x0| {shown:.2f}")

    y = torch.cat([case.y for case in batch.cases])
    like = _together(batch.cases)

    def draw(rows: int) -> Drawn:
        nonlocal done
        done = 0
        return first.method(first.prior, like, y, restoration.seed, rows, step)

    try:
        drawn = halving(draw, len(y) * n)
    except Interrupted as stop:
        for case, x0 in zip(batch.cases[stop.rows], stop.x0.cpu(), strict=True):
            path = unfinished(out, case.source)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(case.window(case.shade(x0[None])), path)
            halving.say(f"{path} is {case.source.name} as it was estimated after step {stop.step} of {stop.steps}")
        raise
    cost = {
        "network_calls": drawn.calls,
        "rows_per_call": drawn.rows,
        "seconds": round((time.perf_counter() - started) / len(y), 3),
        "peak_memory_bytes": peak_memory(restoration.prior.device),
    }
    found = zip(batch.cases, drawn.x.cpu(), strict=True)
    return Restored([case.shade(case.projected(x)) for case, x in found], cost)

"""Computes one group of rows, in any process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posteriori.jobs.executor import Tick
from posteriori.jobs.faults import Halving
from posteriori.jobs.memory import Checkpointing
from posteriori.jobs.store import Result
from posteriori.priors.base import Prior
from posteriori.restore.manifest import arithmetic, versions
from posteriori.studies.engine.cost import steps
from posteriori.studies.engine.plan import Rows
from posteriori.studies.engine.work import PREFIXES, Group, compute, joined


@dataclass(frozen=True)
class Loader:
    """How a process loads the prior: its name or path, the device and the arithmetic."""

    prior: str
    size: int | None = None
    device: str = "cpu"
    dtype: str = "auto"
    threads: int | None = None
    checkpointing: Checkpointing = "auto"

    def __call__(self) -> Prior:
        from posteriori.hub.load import load_prior

        if self.threads:
            torch.set_num_threads(self.threads)
        prior = load_prior(self.prior, device=self.device, dtype=self.dtype)
        if self.checkpointing == "on":
            prior.save_memory()
        return prior.at(self.size) if self.size else prior


class Compute:
    """Computes groups of rows. ``pictures`` are (3, H, W) by sha256; ``prior`` is the loader's, if loaded already."""

    def __init__(self, loader: Loader, pictures: Mapping[str, Tensor], prior: Prior | None = None):
        self.loader, self.pictures, self.prior = loader, pictures, prior
        self.halving: Halving | None = None

    def __reduce__(self):  # every process loads its own prior
        return type(self), (self.loader, self.pictures)

    def __call__(self, rows: Rows, tick: Tick) -> Result:
        self.prior = prior = self.prior or self.loader()
        run = rows.run
        truth = torch.stack([self.pictures[run.images[k][1]] for k, _ in rows.rows]) if run.images else None
        expected = max(1, steps(run, prior))
        halving = self.halving = self.halving or Halving(run.batch)
        halving.say = lambda text: tick(0.0, text)

        def work(together: int) -> Group:
            parts = range(0, len(rows.rows), together)
            done = [
                compute(
                    run,
                    rows.rows[i : i + together],
                    prior,
                    None if truth is None else truth[i : i + together],
                    lambda calls, i=i: tick(min(1.0, (i + together * calls / expected) / len(rows.rows)), rows.label),
                )
                for i in parts
            ]
            return joined(done)

        group = halving(work, len(rows.rows))
        arrays = {
            f"{prefix}.{name}": value
            for kind, prefix in PREFIXES.items()
            for name, value in getattr(group, kind).items()
        }
        return Result({"calls": group.calls, "environment": environment(prior)}, arrays)


def environment(prior: Prior) -> dict[str, Any]:
    """Everything besides the settings that decides what a process computes."""
    return versions() | arithmetic(prior) | {"threads": torch.get_num_threads()}

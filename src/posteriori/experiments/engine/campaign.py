"""An experiment in its folder: the prior, the runs, and what was decided once for all of them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import Tensor

from posteriori.experiments.engine.board import Board, Silent
from posteriori.experiments.engine.cost import batch_auto, seconds, steps
from posteriori.experiments.engine.execute import Loader, execute, missing
from posteriori.experiments.engine.plan import Item, Pictures, Run, distinct
from posteriori.experiments.engine.store import Result, Store
from posteriori.files import read_json, write_json
from posteriori.priors.load import prior_record

#: what was decided before the first run
PLAN = "plan.json"
#: what a disk says that takes no more
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Campaign:
    """Runs under ``out``/runs with one prior.

    ``batch`` is the rows of a network call; None takes that of ``out``/plan.json where one of the same prior is
    there, and else what the memory holds. ``say`` is told what a user should know.
    """

    def __init__(
        self,
        out: Path,
        loader: Loader,
        *,
        batch: int | None,
        jobs: int = 1,
        quiet: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ):
        self.out, self.loader, self.jobs, self.quiet, self.say = out, loader, jobs, quiet, say
        self.prior = loader()
        self.name = self.prior.name or loader.prior
        self.record = prior_record(loader.prior)
        (out / "runs").mkdir(parents=True, exist_ok=True)
        self.store = Store(out / "runs", say)
        identity = {"prior": self.record, "shape": list(self.prior.shape)}
        plan = read_json(out / PLAN) if (out / PLAN).is_file() else {}
        same = all(plan.get(name) == value for name, value in identity.items())
        self.batch = batch or (plan["batch"] if same else batch_auto(self.prior, jobs))
        self.plan: dict[str, Any] = {**identity, "batch": self.batch, "parts": {}}

    def template(
        self, pictures: Pictures | None, operator: str, sigma: float, seeds: Sequence[int], *, frames: int = 0
    ) -> Run:
        """A run of these, whose method is still to be set."""
        shape = (self.prior.shape[0], self.prior.shape[1], self.prior.shape[2])
        images = pictures.named if pictures else ()
        identity = (self.name, self.record["sha256"])
        return Run(identity, shape, "", operator, sigma, images, tuple(seeds), self.batch, frames)

    def estimate(self, items: Sequence[Item]) -> float:
        """Seconds that the missing groups of ``items`` will take."""
        tasks = missing(items, self.store)
        each = seconds(tasks, self.prior, self.jobs)
        return sum(each[task.item.run.key] for task in tasks)

    def do(self, items: Sequence[Item], pictures: Mapping[str, Tensor], *, later: float = 0.0) -> None:
        """Does what is missing of ``items``; ``later`` is the seconds of what comes after, for the time left."""
        for item in items:
            keys = self.plan["parts"].setdefault(item.part, [])
            if item.run.key not in keys:
                keys.append(item.run.key)
        write_json(self.plan, self.out / PLAN)
        tasks = missing(items, self.store)
        each = seconds(tasks, self.prior, self.jobs)
        total = sum(each[task.item.run.key] for task in tasks) + later
        if tasks:
            groups = sum(len(item.run.groups) for item in distinct(items))
            there = f", {groups - len(tasks)} of {groups} groups are there already" if groups > len(tasks) else ""
            self.say(f"{', '.join(dict.fromkeys(t.item.part for t in tasks))}: about {_time(total)} left{there}")
        counts = {item.run.key: steps(item.run, self.prior) for item in items}
        board = nullcontext(Silent()) if self.quiet else Board(items, tasks, each, counts, later)
        prior = self.prior if self.jobs == 1 else None
        try:
            with board as watch:
                execute(items, tasks, pictures, self.loader, self.store, jobs=self.jobs, prior=prior, watch=watch)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise OSError(
                f"{self.out} cannot be written to ({error.strerror}): make room and run the same command again; what "
                "was finished is kept"
            ) from None

    def read(self, run: Run) -> Result:
        return self.store.read(run)


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

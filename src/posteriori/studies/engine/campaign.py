"""An experiment in its folder: the prior, the runs, and the decisions that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import as_json_text, first_line, parse_json, room_in
from posteriori.hub.load import prior_record
from posteriori.jobs.attempts import persist
from posteriori.jobs.executor import Event, Executor, Report
from posteriori.jobs.executors import Serial
from posteriori.jobs.memory import room
from posteriori.jobs.progress import Board, announced, log, together
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Files
from posteriori.jobs.throughput import recorded
from posteriori.studies.engine.cost import seconds
from posteriori.studies.engine.execute import Compute, Loader
from posteriori.studies.engine.plan import Item, Named, Rows, Run, distinct
from posteriori.studies.engine.store import Result, Runs

T = TypeVar("T")

#: what was decided before the first run
PLAN = "plan.json"


class Campaign:
    """Runs under ``out``/runs with one prior; ``out`` is a folder or a URL of fsspec's.

    ``batch`` is the number of rows of a network call. None takes it from ``out``/plan.json if that has the same prior,
    and otherwise takes what fits into memory. ``say`` gets messages for the user. ``done`` are the requested runs by
    key.
    """

    def __init__(
        self,
        out: str | Path,
        loader: Loader,
        *,
        batch: int | None,
        executor: Executor | None = None,
        quiet: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ):
        self.out, self.loader, self.quiet, self.say = out, loader, quiet, say
        self.executor = executor or Serial()
        self.prior = loader()
        self.name = self.prior.name or loader.prior
        self.record = prior_record(loader.prior)
        self.files, self.runs, self.done = Files(out), Runs(f"{out}/runs", say), dict[str, Run]()
        if self.runs.log:
            self.runs.log.parent.mkdir(parents=True, exist_ok=True)
        identity = {"prior": self.record, "shape": list(self.prior.shape)}
        plan = self._begun()
        same = all(plan.get(name) == value for name, value in identity.items())
        asked = {"processes": self.executor.n, "checkpointing": loader.checkpointing, "say": say}
        self.batch = room(self.prior, batch or (plan.get("batch") if same else None), gradient=True, **asked)
        if self.prior.checkpointing:
            self.loader = replace(loader, checkpointing="on")
        self.plan: dict[str, Any] = {**identity, "batch": self.batch, "parts": {}}

    def _begun(self) -> dict[str, Any]:
        """What an earlier command planned in the folder; PosterioriError where that cannot be read."""
        if not self.files.has(PLAN):
            return {}
        path = self.files.path(PLAN)
        try:
            plan = parse_json(self.files.get(PLAN))
        except ValueError as error:
            raise PosterioriError(
                f"{path} is not JSON ({first_line(error)}): remove it, or give another --out"
            ) from None
        batch = plan.get("batch", 1) if isinstance(plan, dict) else None
        if type(batch) is not int or batch < 1:
            raise PosterioriError(f"{path} is not a plan of posteriori: remove it, or give another --out")
        return plan

    def template(
        self, pictures: Named | None, operator: str, sigma: float | str, seeds: Sequence[int], *, frames: int = 0
    ) -> Run:
        """A run with these settings, whose method is still to be set."""
        shape = (self.prior.shape[0], self.prior.shape[1], self.prior.shape[2])
        images = pictures.named if pictures else ()
        identity = (self.name, self.record["sha256"])
        return Run(identity, shape, "", operator, sigma, images, tuple(seeds), self.batch, frames)

    def estimate(self, items: Sequence[Item]) -> float:
        """Seconds that the missing groups of ``items`` will take."""
        jobs = [job for item in distinct(items) for job in item.run.jobs]
        return sum(self._seconds(missing(jobs, self.runs.store)).values())

    def _seconds(self, groups: Sequence[Rows]) -> dict[str, float]:
        return seconds(groups, self.prior, self.executor.n)

    def do(self, items: Sequence[Item], pictures: Mapping[str, Tensor], *, later: float = 0.0) -> None:
        """Computes what is missing of ``items``. ``later`` are the estimated seconds of later work, for the time left.

        Raises what a group raises.
        """
        self._do(run, items, pictures, later)

    def persist(self, items: Sequence[Item], pictures: Mapping[str, Tensor]) -> list[Event]:
        """As ``do``, but tries groups that fail again. Returns the failures of those that failed every time."""
        with recorded(self.files) as throughput:
            return self._do(persist, items, pictures, 0.0, throughput)

    def _do(
        self,
        how: Callable[..., T],
        items: Sequence[Item],
        pictures: Mapping[str, Tensor],
        later: float,
        *reports: Report,
    ) -> T:
        parts: dict[str, list[Rows]] = {}
        for item in distinct(items):
            parts.setdefault(item.part, []).extend(item.run.jobs)
        for item in items:
            self.done[item.run.key] = item.run
            self.plan["parts"].setdefault(item.part, {})[item.run.key] = None
        plan = self.plan | {"parts": {part: list(keys) for part, keys in self.plan["parts"].items()}}
        with room_in(self.out):
            self.files.put(PLAN, lambda file: file.write(as_json_text(plan)))
        everything = [job for jobs in parts.values() for job in jobs]
        left = missing(everything, self.runs.store)
        each = self._seconds(left)
        if left:
            begun = [part for part, jobs in parts.items() if any(job.key in each for job in jobs)]
            text = announced(sum(each.values()) + later, len(left), len(everything), "groups")
            self.say(f"{', '.join(begun)}: {text}")
        work = Compute(self.loader, pictures, self.prior)
        logs = [log(self.runs.log)] if self.runs.log else []
        with Board(parts, each, later).live(quiet=self.quiet) as report:
            told = together(report, *logs, *reports, self._heard)
            return how(left, work, self.runs.store, self.executor, told, place=self.out)

    def _heard(self, event: Event) -> None:
        """Passes on a group's notes other than its name: that memory ran out."""
        if event.kind == "progress" and event.note != event.job.label:
            self.say(event.note)

    def read(self, run: Run) -> Result:
        return self.runs.read(run)

"""Restores a list of inputs into a folder: one entry each, complete or absent, with a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import atomic_folder, read_json, write_json
from posteriori.jobs.executor import Event, Executor, Report
from posteriori.jobs.executors import Serial
from posteriori.jobs.faults import JobsFailed
from posteriori.jobs.key import as_json
from posteriori.jobs.memory import Checkpointing, kept_room, room
from posteriori.jobs.run import run
from posteriori.likelihoods import Linear
from posteriori.operators import Mask
from posteriori.restore.entry import Case, write_entry
from posteriori.restore.inputs import Source, unfinished
from posteriori.restore.intervals import write_intervals
from posteriori.restore.manifest import MANIFEST, versions
from posteriori.restore.restoration import Restoration
from posteriori.restore.room import too_large
from posteriori.restore.summary import Outcome
from posteriori.restore.work import Batch, Restored, Solve, Watch
from posteriori.settings.own import code_of


class Entries:
    """Restorations in ``out``, as folders for people to look at: one for each input, complete or absent.

    ``there`` has the manifests of earlier entries, which stay unchanged.
    """

    def __init__(self, out: Path):
        self.out, self.there = out, dict[Source, dict[str, Any]]()

    def manifest(self, source: Source) -> dict[str, Any]:
        """The manifest of a finished entry, whichever process wrote it."""
        return self.there.get(source) or read_json(self.out / source.name / MANIFEST)

    def done(self, batch: Batch) -> bool:
        return all(case.source in self.there for case in batch.cases)

    def write(self, batch: Batch, restored: Restored) -> None:
        for case, x in zip(batch.cases, restored.x, strict=True):
            if case.source not in self.there:
                _write(batch.restoration, case, x, restored.cost, self.out)


def restore(
    plans: Iterable[tuple[Restoration, Sequence[Source]]],
    out: Path,
    *,
    overwrite: bool,
    announce: Callable[[Restoration, Case], object],
    report: Report,
    told: Callable[[Outcome], object],
    checkpointing: Checkpointing = "auto",
    say: Callable[[str], object] = lambda _: None,
    watch: Watch = lambda _, __: None,
    executor: Executor | None = None,
) -> None:
    """Restores the inputs of ``plans``, all with one network, into ``out``/name, batch by batch.

    An input that cannot be read, or whose worker is lost or late, is an outcome with an error. ``announce`` is told the
    first case of each size of a plan before its work begins, ``report`` the progress of a batch, ``told`` every
    outcome, and ``say`` that memory ran out, after which fewer images go through the network at once. ``watch`` sees
    every step. ``executor`` does the work (None: this process). Other processes load the prior by the first
    restoration's ``load``, and do not call ``say`` and ``watch``. Entries that the same settings made from the same
    input are kept.

    Raises FileExistsError, before any work of its plan, if a name is taken by an entry of other settings, unless
    ``overwrite``, or by anything that is no entry. MemoryError and FloatingPointError are passed on.
    """
    executor, entries = executor or Serial(), Entries(out)
    memory: dict[str, Any] = {"checkpointing": checkpointing, "say": say, "processes": executor.n}

    def finished(sources: Iterable[Source]) -> None:
        for source in sources:
            told(Outcome(source, entries.manifest(source), there=source in entries.there))

    def batches(restoration: Restoration, sources: Sequence[Source]) -> Iterator[Batch]:
        prior, begin, announced = restoration.prior, lambda: None, set()
        asked: dict[str, Any] = memory | {"gradient": restoration.method.gradient}
        if not prior.any_size:
            batch, begin = kept_room(out, prior, restoration.prior_record["sha256"], restoration.batch, **asked)
            restoration = replace(restoration, batch=batch)
        for source in sources:
            _refuse_others(out / source.name, overwrite)
        groups = restoration.groups(sources)
        there, read = ({}, {}) if overwrite else _finished(restoration, groups, out)
        entries.there |= there
        refused = dict(too_large(restoration, [each for each in sources if each not in there], executor.n))
        for group in groups:
            if all(source in there for source in group):
                finished(group)
                continue
            cases = []
            for source in group:
                try:
                    if source in refused:
                        raise refused[source]
                    cases.append(read.pop(source, None) or restoration.case(source))
                except (OSError, PosterioriError) as error:
                    told(Outcome(source, error=error))
            for _, same in groupby(cases, key=_company):
                batch = Batch(restoration, tuple(same))
                if entries.done(batch):
                    finished(case.source for case in batch.cases)
                    continue
                if batch.cases[0].operator.shape not in announced:
                    announced.add(batch.cases[0].operator.shape)
                    if prior.any_size:
                        room(batch.cases[0].prior, restoration.rows, **asked)
                    announce(restoration, batch.cases[0])
                begin()
                yield batch

    def tell(event: Event) -> None:
        report(event)
        if event.kind == "end" and isinstance(event.job, Batch):
            finished(case.source for case in event.job.cases)
        elif event.fault and isinstance(event.job, Batch):
            for case in event.job.cases:
                told(Outcome(case.source, error=OSError(event.note)))

    plans = list(plans)
    jobs = (batch for plan in plans for batch in batches(*plan))
    with suppress(JobsFailed):  # of which each input's outcome tells
        run(jobs, Solve(out, plans[0][0].load if plans else None, say, watch), entries, executor, tell, place=out)


def _refuse_others(entry: Path, overwrite: bool) -> None:
    """OSError where ``entry`` holds what is not ours to replace: no entry is without its manifest, nor protected."""
    other = any(entry.iterdir()) if entry.is_dir() else entry.exists()
    if other and not (entry / MANIFEST).is_file():
        raise FileExistsError(
            f"{entry} exists and is no result of posteriori, for it has no {MANIFEST}: give another --out"
        )
    if overwrite and other and not os.access(entry, os.W_OK):
        raise PermissionError(f"{entry} is read-only: make it writable to replace it, or give another --out")


def _finished(
    restoration: Restoration, groups: Sequence[Sequence[Source]], out: Path
) -> tuple[dict[Source, dict[str, Any]], dict[Source, Case]]:
    """The manifests of inputs that these settings have made before, but for those that can no longer be read.

    And the inputs that were read for that and are to be restored again with the others of their group.
    """
    found: dict[Source, dict[str, Any]] = {}
    kept: dict[Source, Case] = {}
    for group in groups:
        read = {}
        for source in group:
            entry = out / source.name
            if not (entry / MANIFEST).is_file():
                continue
            try:
                case = restoration.case(source)
            except (OSError, PosterioriError):  # which stops this input when its turn comes, and no other
                continue
            settings = as_json(restoration.settings(case))
            manifest = read_json(entry / MANIFEST)
            used, given = (own if isinstance(own := manifest.get(key), dict) else {} for key in ("settings", "input"))
            other = [name for name in settings.keys() - {"sources", "warning"} if used.get(name) != settings[name]]
            if given.get("sha256") != case.loaded.about["sha256"]:
                other.append("input")
            if other:
                raise FileExistsError(
                    f"{entry} already exists, made with other settings ({', '.join(sorted(other))}): "
                    "give another --out, or --overwrite to replace it"
                )
            found[source], read[source] = manifest, case
        if len(read) < len(group):
            kept |= read
    return found, kept


def _company(case: Case) -> tuple[Any, ...]:
    """What inputs that are restored together have in common."""
    like, operator, grey = case.like, case.operator, case.loaded.grey
    if isinstance(operator, Mask) and isinstance(like, Linear) and case.method.takes(Linear):
        return operator.shape, grey, like.sigma
    return operator.shape, grey, operator, case.noise


def _write(restoration: Restoration, case: Case, x: Tensor, cost: dict[str, Any], out: Path) -> None:
    settings = restoration.settings(case)
    code = code_of(settings["operator"], settings.get("sampler", ""))
    manifest = {
        "name": case.source.name,
        "input": case.loaded.about | ({"grey": True} if case.loaded.grey else {}),
        "settings": settings,
        **({"code": code} if code else {}),
        **cost,
        "versions": versions(),
    }
    with atomic_folder(out / case.source.name) as folder:
        manifest |= write_entry(folder, case, x, restoration.format)
        if restoration.interval:
            manifest |= write_intervals(folder, case, case.window(x), restoration.interval)
        write_json(manifest, folder / MANIFEST)
    unfinished(out, case.source).unlink(missing_ok=True)

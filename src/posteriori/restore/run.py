"""Restoring a list of inputs into a folder: one entry each, whole or not there, with a manifest."""

from __future__ import annotations

import io
import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from posteriori.errors import PosterioriError
from posteriori.files import atomic_folder, read_json, write_json
from posteriori.images.files import save_image
from posteriori.jobs.executor import Event, Executor, Report, Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.faults import Halving, JobsFailed
from posteriori.jobs.key import Job, as_json
from posteriori.jobs.memory import Checkpointing, kept_room, peak_memory, room
from posteriori.jobs.run import run
from posteriori.likelihoods import Each, Likelihood, Linear
from posteriori.observers import ShownResidual
from posteriori.operators import Mask
from posteriori.priors.base import Prior
from posteriori.restore.entry import Case, write_entry
from posteriori.restore.inputs import UNFINISHED, Source
from posteriori.restore.intervals import write_intervals
from posteriori.restore.manifest import MANIFEST, SUMMARY, versions
from posteriori.restore.methods import Drawn, Interrupted
from posteriori.restore.restoration import Restoration
from posteriori.restore.room import too_large
from posteriori.sampler import State
from posteriori.settings.own import code_of

#: the longest name of a file that usual file systems take
NAME_BYTES = 255


@dataclass(frozen=True)
class Outcome:
    """What became of an input: its manifest, or the error that stopped it; ``there`` if it had been done before."""

    source: Source
    manifest: dict[str, Any] | None = None
    error: Exception | None = None
    there: bool = False


@dataclass(frozen=True, eq=False)
class Batch(Job):
    """Inputs that are restored together, of one operator, or of a mask each."""

    restoration: Restoration
    cases: tuple[Case, ...]

    @property
    def settings(self) -> dict[str, Any]:
        inputs = {case.source.name: case.loaded.about["sha256"] for case in self.cases}
        return as_json({**self.restoration.settings(self.cases[0]), "inputs": inputs})

    def __reduce__(self):  # without the network, which a process has once: see ``Solve``
        content = io.BytesIO()
        _Packing(content, protocol=pickle.HIGHEST_PROTOCOL).dump((self.restoration, self.cases))
        return _unpacked, (content.getvalue(),)

    @property
    def label(self) -> str:
        more = f" and {len(self.cases) - 1} more" if len(self.cases) > 1 else ""
        return f"{self.cases[0].source.name}{more}"


#: sees a batch after each of its steps, with the state of the sampler where there is one
Watch = Callable[[Batch, State | None], object]


class Restored(NamedTuple):
    """The images of each case, (n, C, H, W) on the CPU, and what each cost."""

    x: list[Tensor]
    cost: dict[str, Any]


class Entries:
    """Keeps restorations in ``out``, as folders that people look at: one an input, whole or not there.

    ``there`` has the manifests of those that were there before, which stay as they are.
    """

    def __init__(self, out: Path):
        self.out, self.there = out, dict[Source, dict[str, Any]]()

    def manifest(self, source: Source) -> dict[str, Any]:
        """Of a finished one, whichever process wrote it."""
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
    first case of each size of a plan before its work begins, ``report`` how far a batch is, ``told`` every outcome, and
    ``say`` that memory ran out, from where on fewer images go through the network at once. ``watch`` sees every step.
    ``executor`` does the work (None: this process); other processes load the prior by the first restoration's ``load``,
    and ``say`` and ``watch`` hear nothing of them. What the same settings made of the same input is left as it is.
    Raises FileExistsError, before any work of its plan, where a name is taken by anything else, unless ``overwrite``;
    MemoryError and FloatingPointError as they come.
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
            if not entry.exists():
                continue
            try:
                case = restoration.case(source)
            except (OSError, PosterioriError):  # which stops this input when its turn comes, and no other
                continue
            settings = as_json(restoration.settings(case))
            manifest = read_json(entry / MANIFEST) if (entry / MANIFEST).is_file() else {}
            used, given = (own if isinstance(own := manifest.get(key), dict) else {} for key in ("settings", "input"))
            other = [name for name in settings.keys() - {"sources", "warning"} if used.get(name) != settings[name]]
            if given.get("sha256") != case.loaded.about["sha256"]:
                other.append("input")
            if other:
                raise FileExistsError(
                    f"{entry} already exists, made with another {', '.join(sorted(other))}: "
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


def _together(cases: Sequence[Case]) -> Likelihood:
    first, y = cases[0], torch.cat([case.y for case in cases])
    if all(case.operator == first.operator and case.noise == first.noise for case in cases):
        return first.like.with_y(y)
    return Each([case.like for case in cases])


class _Packing(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return "the network" if isinstance(obj, nn.Module) else None


class _Unpacking(pickle.Unpickler):
    def persistent_load(self, pid: str) -> nn.Module:
        assert Solve.network is not None, "batches come after Solve"
        return Solve.network


def _unpacked(content: bytes) -> Batch:
    batch = Batch(*_Unpacking(io.BytesIO(content)).load())
    if (prior := batch.cases[0].prior).checkpointing:
        prior.save_memory()  # which the network here has not been told
    return batch


class Solve:
    """Restores batches; sent to another process, of which nobody is told anything, it loads the prior by ``load``."""

    #: of this process, where batches come from another
    network: ClassVar[nn.Module | None] = None

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
    Solve.network = load().net  # ty: ignore[missing-attribute]
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
            path = _unfinished(out, case.source)
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


def _write(restoration: Restoration, case: Case, x: Tensor, cost: dict[str, Any], out: Path) -> dict[str, Any]:
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
    _unfinished(out, case.source).unlink(missing_ok=True)
    return manifest


def _unfinished(out: Path, source: Source) -> Path:
    """Where what there was of an input is, when a command was interrupted."""
    path = out / source.name
    stem = os.fsdecode(os.fsencode(path.name)[: NAME_BYTES - len(UNFINISHED)])
    return path.with_name(stem + UNFINISHED)


def summary(outcome: Outcome, out: Path) -> dict[str, Any]:
    """One input as a line of a table; metrics are those of the samples' mean, but for ``psnr_of_a_sample``.

    Where the best sample is the result, metrics and checks are its own. ``coverage`` is that of the pixels that a mask
    hides, or of all where there is none.
    """
    name, manifest = outcome.source.name, outcome.manifest or {}
    best = manifest.get("best") or {}
    scores = (manifest.get("metrics") or {}).get("best" if best else "mean", {})
    samples = (manifest.get("metrics") or {}).get("samples", [])
    coverage = (manifest.get("interval") or {}).get("coverage", {})
    mean = lambda values: fmean(values) if values else None  # noqa: E731
    residual, shift = (manifest.get(check) or {} for check in ("residual", "shift"))
    checked = lambda values: values[best["sample"] - 1] if best else mean(values)  # noqa: E731
    return {
        "name": name,
        "input": outcome.source.path,
        "folder": str(out / name) if manifest else None,
        **{metric: scores.get(metric) for metric in ("psnr", "ssim", "lpips")},
        "psnr_of_a_sample": mean([s["psnr"] for s in samples]) if len(samples) > 1 else None,
        "coverage": coverage.get("all") if coverage.get("hidden") is None else coverage["hidden"],
        "residual": checked(residual.get("samples")),
        "residuals": residual.get("samples") if best else None,
        "explaining": best.get("share that explains y"),
        "residual_of_true_images": residual.get("95% of true images"),
        "shift": checked(shift.get("samples")),
        "shift_of_known_pictures": shift.get("95% of held-out pictures"),
        "warnings": manifest.get("warnings", []),
        "notes": manifest.get("input", {}).get("notes", []),
        "network_calls": manifest.get("network_calls"),
        "seconds": manifest.get("seconds"),
        "error": str(outcome.error) if outcome.error else None,
    }


def write_summary(out: Path) -> None:
    """Writes results.json: a line for every entry that ``out`` holds."""
    write_json([row(path, out) for path in sorted(out.rglob(MANIFEST))], out / SUMMARY)


def row(path: Path, out: Path) -> dict[str, Any]:
    """``summary`` of the manifest ``path`` in ``out``. PosterioriError where it is none of a restoration."""
    manifest = read_json(path)
    try:
        return summary(Outcome(Source(manifest["input"]["file"], manifest["name"]), manifest), out)
    except (KeyError, TypeError, AttributeError, IndexError):  # of another shape
        raise PosterioriError(f"{path} is no manifest of a restoration: remove its folder, and run again") from None

"""Restoring a list of inputs into a folder: one entry each, whole or not there, with a manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posteriori import __version__
from posteriori.files import atomic_folder, write_json
from posteriori.fit import Fit
from posteriori.operator import Operator
from posteriori.operators import Mask
from posteriori.prior import Prior
from posteriori.priors.folder import read_json
from posteriori.priors.unet import UNetPrior
from posteriori.runs.entry import Job, write_entry
from posteriori.runs.inputs import Loaded, MaskFile, Source, load
from posteriori.runs.manifest import peak_memory, versions
from posteriori.runs.methods import Method
from posteriori.spec import Spec, format_spec

MANIFEST = "manifest.json"
SUMMARY = "results.json"

#: called after every step of a batch with its inputs' names and the mean residual, where there is one
GroupTick = Callable[[Sequence[str], float | None], None]


@dataclass(frozen=True)
class Outcome:
    """What became of an input: its manifest, or the error that stopped it; ``there`` if it had been done before."""

    source: Source
    manifest: dict[str, Any] | None = None
    error: Exception | None = None
    there: bool = False


@dataclass(frozen=True)
class Setting:
    """What a picture of one size is restored with; ``operator`` is None where each has a mask of its own."""

    prior: Prior
    operator: Operator | None


@dataclass(frozen=True)
class Restoration:
    """Everything that decides the pictures. ``operator`` is None where ``mask`` makes one for each picture.

    ``simulate``: inputs are clean pictures, to be degraded with noise ``sigma`` on [-1, 1] first. Pictures are
    fitted to the prior's size, unless its network is convolutional and takes any. ``batch`` is the rows of
    one network call (None: by size); inputs are grouped by their order, so that a run that was stopped
    goes on with the same groups.
    """

    prior: UNetPrior
    prior_record: dict[str, Any]
    method: Method
    operator: Spec[Operator] | None
    mask: MaskFile | None
    sigma: float
    seed: int
    simulate: bool
    fit: Fit | None
    batch: int | None
    _settings: dict[tuple[int, ...], Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self._any_size and self.fit:
            raise ValueError(f"{self.prior.name} takes pictures of any size: leave out --fit {self.fit}")
        if not self._any_size:
            self._setting(self.prior.shape)  # what is wrong with the operator at this size is known before any work

    @property
    def _any_size(self) -> bool:
        return self.prior.convolutional

    @property
    def steps(self) -> int:
        """Ticks that an input takes."""
        return self.method.steps(self.prior.schedule)

    def settings(self, job: Job) -> dict[str, Any]:
        """What decides the pictures of ``job``, besides its input."""
        mask = self.mask and {"file": self.mask.path, "sha256": self.mask.sha256, "invert": self.mask.invert}
        return {
            "posteriori": __version__,
            "operator": "mask" if self.mask else format_spec(job.operator),
            "mask": mask,
            **self.method.record(job.prior, job.operator),
            "prior": self.prior_record,
            "size": list(job.prior.shape[1:]),
            "simulate": self.simulate,
            "fit": self.fit,
            "seed": self.seed,
            "noise": {"sigma": self.sigma, "range": [-1, 1], "of 255": self.sigma / 2 * 255},
            "batch": self._rows,
            "device": self.prior.device.type,
            "dtype": str(self.prior.dtype).removeprefix("torch."),
        }

    @property
    def _rows(self) -> int:
        return self.batch or (1 if self._any_size else batch_for(self.prior))

    def groups(self, sources: Sequence[Source]) -> list[Sequence[Source]]:
        """``sources`` in the order and company in which they are restored."""
        size = max(1, self._rows // self.method.n)
        return [sources[i : i + size] for i in range(0, len(sources), size)]

    def job(self, source: Source) -> Job:
        """Reads and, to simulate, degrades an input. Raises OSError or ValueError."""
        loaded = load(source, self._measured_shape(), self.fit, arrays=not self.simulate)
        shape: tuple[int, ...] = tuple(loaded.x.shape[1:])
        if self.operator and not self.simulate:
            shape = self.operator.cls.image_shape(shape, **self.operator.fields)
        setting = self._setting(shape)
        operator = setting.operator or Mask(shape, self._keep(loaded, shape, source))
        x = loaded.x
        y = operator.measure(x, self.sigma, seed=self.seed) if self.simulate else operator.hide(x)
        return Job(source, loaded, setting.prior, operator, y, x if self.simulate else None)

    def _measured_shape(self) -> tuple[int, ...] | None:
        """The shape (C, H, W) that inputs must have; None where any will do."""
        if self._any_size:
            return None
        operator = self._setting(self.prior.shape).operator
        if self.simulate or operator is None:
            return self.prior.shape
        return tuple(operator(torch.zeros(1, *self.prior.shape)).shape[1:])

    def _setting(self, shape: tuple[int, ...]) -> Setting:
        if shape not in self._settings:
            prior = self.prior if shape == self.prior.shape else self.prior.at((shape[-2], shape[-1]))
            self._settings[shape] = Setting(prior, self.operator.build(shape) if self.operator else None)
        return self._settings[shape]

    def _keep(self, loaded: Loaded, shape: tuple[int, ...], source: Source) -> Tensor:
        assert self.mask
        return self.mask.keep(loaded, shape, self.fit, source)

    def run(
        self,
        sources: Sequence[Source],
        out: Path,
        *,
        overwrite: bool,
        announce: Callable[[Job], object],
        tick: GroupTick,
    ) -> Iterator[Outcome]:
        """Restores ``sources`` into ``out``/name; an input that cannot be read is an outcome with an error.

        ``announce`` is told the first job of each size before its work begins, ``tick`` every step.

        What the same settings made of the same input is left as it is. Raises FileExistsError, before any
        work, where a name is taken by anything else, unless ``overwrite``; MemoryError and
        FloatingPointError as they come.
        """
        there = {} if overwrite else self._finished(sources, out)
        announced = set()
        for group in self.groups(sources):
            jobs = []
            for source in group:
                try:
                    jobs.append(self.job(source))
                except (OSError, ValueError) as error:
                    yield Outcome(source, error=error)
            if all(job.source in there for job in jobs):
                yield from (Outcome(job.source, there[job.source], there=True) for job in jobs)
                continue
            for _, run in groupby(jobs, key=lambda job: job.operator):  # which has the shape of the images
                same = list(run)
                if same[0].operator.shape not in announced:
                    announced.add(same[0].operator.shape)
                    announce(same[0])
                for job, x, cost in self._solve(same, tick):
                    done = there.get(job.source)
                    yield Outcome(job.source, done or self._write(job, x, cost, out), there=bool(done))

    def _finished(self, sources: Sequence[Source], out: Path) -> dict[Source, dict[str, Any]]:
        """The manifests of ``sources`` that these settings have made before."""
        found = {}
        for source in sources:
            entry = out / source.name
            if not entry.exists():
                continue
            job = self.job(source)
            settings = json.loads(json.dumps(self.settings(job)))
            manifest = read_json(entry / MANIFEST) if (entry / MANIFEST).is_file() else {}
            used = manifest.get("settings", {})
            other = [name for name in settings.keys() - {"sources", "warning"} if used.get(name) != settings[name]]
            if manifest.get("input", {}).get("sha256") != job.loaded.about["sha256"]:
                other.append("input")
            if other:
                raise FileExistsError(
                    f"{entry} already exists, made with another {', '.join(sorted(other))}: "
                    "give another --out, or --overwrite to replace it"
                )
            found[source] = manifest
        return found

    def _solve(self, jobs: Sequence[Job], tick: GroupTick) -> Iterator[tuple[Job, Tensor, dict[str, Any]]]:
        """(job, its images (n, C, H, W) on the CPU, what they cost) of each of ``jobs``, in one batch."""
        started, names = time.perf_counter(), [job.source.name for job in jobs]
        try:
            y = torch.cat([job.y for job in jobs])
            x, calls = self.method(jobs[0].prior, jobs[0].operator, y, lambda residual: tick(names, residual))
        except RuntimeError as error:
            if "memory" not in str(error):
                raise
            rows = len(jobs) * self.method.n
            raise MemoryError(f"out of memory with {rows} images at once: lower --batch or --samples") from None
        seconds = (time.perf_counter() - started) / len(jobs)
        cost = {
            "network_calls": calls,
            "rows_per_call": len(jobs) * self.method.n,
            "seconds": round(seconds, 3),
            "peak_memory_bytes": peak_memory(self.prior.device),
        }
        for job, samples in zip(jobs, x.cpu(), strict=True):
            yield job, samples, cost

    def _write(self, job: Job, x: Tensor, cost: dict[str, Any], out: Path) -> dict[str, Any]:
        manifest = {
            "name": job.source.name,
            "input": job.loaded.about,
            "settings": self.settings(job),
            **cost,
            "versions": versions(),
        }
        with atomic_folder(out / job.source.name) as folder:
            manifest |= write_entry(folder, job, x, self.sigma)
            write_json(manifest, folder / MANIFEST)
        return manifest


def batch_for(prior: Prior) -> int:
    """Rows of one network call: as many as pay at this size (a large picture fills the processor alone)."""
    pixels = prior.shape[-2] * prior.shape[-1]
    return max(1, (16 * 256**2 if prior.device.type == "cuda" else 8 * 64**2) // pixels)


def seconds_per_step(prior: Prior) -> float:
    """How long one image takes through the network and its gradient back, timed once."""
    x = torch.zeros(1, *prior.shape, device=prior.device, requires_grad=True)
    started = time.perf_counter()
    torch.autograd.grad(prior.denoise(x, prior.schedule.level(prior.schedule.T // 2)).x0.sum(), x)[0].cpu()
    return time.perf_counter() - started


def summary(outcome: Outcome, out: Path) -> dict[str, Any]:
    """One input as a line of a table; figures are those of the samples' mean."""
    name, manifest = outcome.source.name, outcome.manifest or {}
    scores = (manifest.get("metrics") or {}).get("mean", {})
    residuals = (manifest.get("residual") or {}).get("samples")
    return {
        "name": name,
        "input": outcome.source.path,
        "folder": str(out / name) if manifest else None,
        **{metric: scores.get(metric) for metric in ("psnr", "ssim", "lpips")},
        "residual": sum(residuals) / len(residuals) if residuals else None,
        "network_calls": manifest.get("network_calls"),
        "seconds": manifest.get("seconds"),
        "error": str(outcome.error) if outcome.error else None,
    }


def write_summary(out: Path) -> None:
    """Writes results.json: a line for every entry that ``out`` holds."""
    manifests = [read_json(path) for path in sorted(out.glob(f"*/{MANIFEST}"))]
    outcomes = [Outcome(Source(m["input"]["file"], m["name"]), m) for m in manifests]
    write_json([summary(outcome, out) for outcome in outcomes], out / SUMMARY)

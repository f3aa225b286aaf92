"""Restoring a list of inputs into a folder: one entry each, whole or not there, with a manifest."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posteriori import __version__
from posteriori.files import atomic_folder, write_json
from posteriori.fit import Fit
from posteriori.images import read_bytes
from posteriori.operator import Operator
from posteriori.operators import Mask
from posteriori.prior import Prior
from posteriori.priors.folder import read_json
from posteriori.priors.unet import UNetPrior
from posteriori.runs.entry import Job, write_entry
from posteriori.runs.inputs import Loaded, MaskFile, Source, load
from posteriori.runs.manifest import peak_memory, versions
from posteriori.runs.methods import Method
from posteriori.spec import format_spec

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
class Restoration:
    """Everything that decides the pictures. ``operator`` is None where ``mask`` makes one for each picture.

    ``simulate``: inputs are clean pictures, to be degraded with noise ``sigma`` on [-1, 1] first.
    ``batch`` is the rows of one network call; inputs are grouped by their order, so that a run that was
    stopped goes on with the same groups.
    """

    prior: UNetPrior
    prior_record: dict[str, Any]
    method: Method
    operator: Operator | None
    mask: MaskFile | None
    sigma: float
    seed: int
    simulate: bool
    fit: Fit | None
    batch: int

    def settings(self) -> dict[str, Any]:
        mask = self.mask and {"file": self.mask.path, "sha256": self.mask.sha256, "invert": self.mask.invert}
        return {
            "posteriori": __version__,
            "operator": format_spec(self.operator) if self.operator else "mask",
            "mask": mask,
            **self.method.record(),
            "prior": self.prior_record,
            "simulate": self.simulate,
            "fit": self.fit,
            "seed": self.seed,
            "noise": {"sigma": self.sigma, "range": [-1, 1], "of 255": self.sigma / 2 * 255},
            "batch": self.batch,
            "device": self.prior.device.type,
            "dtype": str(self.prior.dtype).removeprefix("torch."),
        }

    def groups(self, sources: Sequence[Source]) -> list[Sequence[Source]]:
        """``sources`` in the order and company in which they are restored."""
        size = max(1, self.batch // self.method.n)
        return [sources[i : i + size] for i in range(0, len(sources), size)]

    def job(self, source: Source) -> Job:
        """Reads and, to simulate, degrades an input. Raises OSError or ValueError."""
        shape = self.prior.shape
        if self.operator and not self.simulate:
            shape = tuple(self.operator(torch.zeros(1, *shape)).shape[1:])
        loaded = load(source, shape, self.fit, arrays=not self.simulate)
        operator = self.operator or Mask(self.prior.shape, self._mask(loaded, source))
        x = loaded.x
        y = operator.measure(x, self.sigma, seed=self.seed) if self.simulate else operator.hide(x)
        return Job(source, loaded, operator, y, x if self.simulate else None)

    def _mask(self, loaded: Loaded, source: Source) -> Tensor:
        assert self.mask
        return self.mask.keep(loaded, self.prior.shape, self.fit, source)

    def run(self, sources: Sequence[Source], out: Path, *, overwrite: bool, tick: GroupTick) -> Iterator[Outcome]:
        """Restores ``sources`` into ``out``/name; an input that cannot be read is an outcome with an error.

        What the same settings made of the same input is left as it is. Raises FileExistsError, before any
        work, where a name is taken by anything else, unless ``overwrite``; MemoryError and
        FloatingPointError as they come.
        """
        there = {} if overwrite else self._finished(sources, out)
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
            for _, same in groupby(jobs, key=lambda job: job.operator):
                for job, x, cost in self._solve(list(same), tick):
                    done = there.get(job.source)
                    yield Outcome(job.source, done or self._write(job, x, cost, out), there=bool(done))

    def _finished(self, sources: Sequence[Source], out: Path) -> dict[Source, dict[str, Any]]:
        """The manifests of ``sources`` that these settings have made before."""
        found, settings = {}, json.loads(json.dumps(self.settings()))
        for source in sources:
            entry = out / source.name
            if not entry.exists():
                continue
            manifest = read_json(entry / MANIFEST) if (entry / MANIFEST).is_file() else {}
            used = manifest.get("settings", {})
            other = [name for name in settings.keys() - {"sources", "warning"} if used.get(name) != settings[name]]
            if manifest.get("input", {}).get("sha256") != hashlib.sha256(read_bytes(source.path)).hexdigest():
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
            x, calls = self.method(y, jobs[0].operator, lambda residual: tick(names, residual))
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
            "settings": self.settings(),
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

"""How long a sampler takes to what DPS reaches in many steps: its fewest steps that are as good, and their seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posteriori.jobs.store import Store
from posteriori.sampler import Sampler
from posteriori.samplers import DDNM, DDRM, DPS, MMPS, DiffPIR, PiGDM, Reverse, SDEdit
from posteriori.settings.presets import resolve
from posteriori.settings.text import format_spec
from posteriori.studies.bench import clock
from posteriori.studies.guide.cells import Cell, network
from posteriori.studies.tasks import SIGMA_Y, tasks

#: what counts as reached: so much less in dB, so much more in LPIPS
PSNR, LPIPS = 0.1, 0.005
#: steps that are tried, in turn, until one is as good
LADDER = (10, 20, 30, 50, 100, 200)
#: the priors, the side of their pictures, and the first held-out one that chose no setting
PRIORS = {"faces-64": (64, 32), "photo": (128, 6)}
TASKS = ("inpainting", "deconvolution")

#: by name: a class with its preset for the task and the steps, or a sampler as it is
CANDIDATES: dict[str, type[Sampler] | Sampler] = {
    "dps": DPS,
    "diffpir": DiffPIR,
    "diffpir(lambda_=3, zeta=1)": DiffPIR(lambda_=3.0, zeta=1.0),
    "sdedit(t_start=300, base=diffpir(lambda_=3, zeta=1))": SDEdit(t_start=300.0, base=DiffPIR(lambda_=3.0, zeta=1.0)),
    "ddrm": DDRM,
    "ddnm": DDNM,
    "pigdm": PiGDM,
    "mmps(iterations=1)": MMPS(iterations=1),
    "reverse(diffpir, dpm-solver++)": Reverse(guidance=DiffPIR(lambda_=1.0, zeta=1.0), integrator="dpm-solver++"),
    "reverse(ddnm, dpm-solver++)": Reverse(guidance=DDNM(), integrator="dpm-solver++"),
}


@dataclass(frozen=True)
class Timed(Cell):
    """A ``Cell`` whose seconds are of this machine and code."""

    machine: str = field(default_factory=clock.machine)
    code: str = field(default_factory=clock.code)


@dataclass(frozen=True)
class Case:
    """A task with a prior, on ``pictures`` (the first and the end) of those that no training saw."""

    prior: str
    task: str
    pictures: tuple[int, int]
    size: int
    ladder: tuple[int, ...]
    reference: int

    def cell(self, candidate: str, steps: int) -> Timed:
        prior = network(self.prior, self.size)
        operator = next(task.operator for task in tasks(prior.shape) if task.name == self.task)
        chosen = CANDIDATES[candidate]
        if isinstance(chosen, Sampler):
            sampler = chosen.with_steps(steps)
        else:
            sampler = resolve(chosen, operator, prior, steps=steps, sigma=SIGMA_Y).sampler
        return Timed(
            format_spec(operator), format_spec(sampler), self.pictures, prior=self.prior, size=self.size,
        )  # fmt: skip


@dataclass(frozen=True)
class Reached:
    """A sampler's fewest steps that are as good as ``reference``, or its most that are not."""

    candidate: str
    steps: int
    metrics: dict[str, np.ndarray]
    enough: bool

    def mean(self, name: str) -> float:
        return float(self.metrics[name].mean())


def reference(case: Case, out: Path) -> Reached | None:
    """DPS in ``case.reference`` steps; None where it has not been measured or diverged."""
    metrics = _read(case.cell("dps", case.reference), out)
    return Reached("dps", case.reference, metrics, True) if metrics and "psnr" in metrics else None


def cells(case: Case, out: Path) -> list[Timed]:
    """What is to be measured next: the reference, then for each candidate its next rung until one is as good."""
    best = reference(case, out)
    if best is None:
        own = case.cell("dps", case.reference)
        return [] if _read(own, out) else [own]  # one that diverged is nothing to reach
    found = []
    for name in CANDIDATES:
        for steps in case.ladder:
            own = case.cell(name, steps)
            metrics = _read(own, out)
            if metrics is None:
                found.append(own)
            if metrics is None or as_good(metrics, best):
                break
    return found


def reached(case: Case, out: Path) -> list[Reached]:
    """Every candidate that was measured, those that are as good first, by their seconds."""
    best, found = reference(case, out), []
    if best is None:
        return []
    for name in CANDIDATES:
        rungs = [(steps, _read(case.cell(name, steps), out)) for steps in case.ladder]
        done = [Reached(name, steps, own, as_good(own, best)) for steps, own in rungs if own and "psnr" in own]
        good = [own for own in done if own.enough]
        found += good[:1] or done[-1:]
    return sorted(found, key=lambda own: (not own.enough, own.mean("seconds")))


def as_good(metrics: dict[str, np.ndarray], best: Reached) -> bool:
    """Within PSNR and LPIPS of the reference, in the mean over the pictures."""
    if "psnr" not in metrics:
        return False
    psnr, lpips = metrics["psnr"].mean(), metrics["lpips"].mean()
    return bool(psnr >= best.mean("psnr") - PSNR and lpips <= best.mean("lpips") + LPIPS)


def cases(pictures: Sequence[int], steps: Sequence[int], *, quick: bool = False) -> list[Case]:
    """``pictures`` of each of PRIORS, and the ``steps`` of the reference on them."""
    if quick:
        return [Case("faces-64", "inpainting", (0, 1), 64, ladder=(2,), reference=3)]
    own = zip(PRIORS.items(), pictures, steps, strict=True)
    return [
        Case(prior, task, (at, at + n), size, tuple(rung for rung in LADDER if rung < most), most)
        for (prior, (size, at)), n, most in own
        for task in TASKS
        if n
    ]


def _read(own: Timed, out: Path) -> dict[str, np.ndarray] | None:
    found = Store(out).read(own)
    return found.arrays if found else None

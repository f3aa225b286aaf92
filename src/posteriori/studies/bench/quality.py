"""Time to quality: the fewest steps with which a sampler is as good as DPS in many steps, and their seconds."""

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

#: as good as DPS: a PSNR at most so much lower (dB), an LPIPS at most so much higher
PSNR, LPIPS = 0.1, 0.005
#: numbers of steps, tried in turn until one is as good
LADDER = (10, 20, 30, 50, 100, 200)
#: by prior: the side of its pictures, and the index of the first held-out one that tuned no setting
PRIORS = {"faces-64": (64, 32), "photo": (128, 6)}
TASKS = ("inpainting", "deconvolution")

#: by name: a class, which takes its preset for the task and the steps, or a sampler with fixed settings
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
    """A ``Cell`` with the machine and the code in its key, since its seconds depend on them."""

    machine: str = field(default_factory=clock.machine)
    code: str = field(default_factory=clock.code)


@dataclass(frozen=True)
class Case:
    """A task with a prior, on the held-out ``pictures`` (the first one, and the one after the last)."""

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
    """A sampler with the fewest steps that are as good as the reference, or the most that were tried."""

    candidate: str
    steps: int
    metrics: dict[str, np.ndarray]
    enough: bool

    def mean(self, name: str) -> float:
        return float(self.metrics[name].mean())


def reference(case: Case, out: Path) -> Reached | None:
    """DPS in ``case.reference`` steps; None if it diverged or has not been measured."""
    metrics = _read(case.cell("dps", case.reference), out)
    return Reached("dps", case.reference, metrics, True) if metrics and "psnr" in metrics else None


def cells(case: Case, out: Path) -> list[Timed]:
    """The cells to measure next: the reference, then each candidate's next number of steps until it is as good."""
    best = reference(case, out)
    if best is None:
        own = case.cell("dps", case.reference)
        return [] if _read(own, out) else [own]  # if the reference diverged there is nothing to reach
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
    """Every candidate that was measured: first those as good as the reference, then the others, each by seconds."""
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
    """Whether the means over the pictures are within PSNR and LPIPS of the reference's."""
    if "psnr" not in metrics:
        return False
    psnr, lpips = metrics["psnr"].mean(), metrics["lpips"].mean()
    return bool(psnr >= best.mean("psnr") - PSNR and lpips <= best.mean("lpips") + LPIPS)


def cases(pictures: Sequence[int], steps: Sequence[int], *, quick: bool = False) -> list[Case]:
    """The cases: for each of PRIORS its number of ``pictures`` and the reference's ``steps``."""
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

"""Measures one sampler on one operator over held-out pictures, and keeps the result.

The scripts that write the pages on uncertainty, choosing and fronts share it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posteriori.files import atomic_path
from posteriori.hub.load import load_prior, prior_record
from posteriori.jobs.executor import Tick
from posteriori.jobs.executors import executor_of
from posteriori.jobs.key import Job, as_json
from posteriori.jobs.progress import shown
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Result, Store
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.metrics import credible_interval, lpips, psnr, standardized
from posteriori.observers import CountedPrior
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.sampler import Sampler
from posteriori.samplers import DCPS, DDIM, MGDM, SAMPLERS, SITCOM, Reverse
from posteriori.settings import choosing
from posteriori.settings.presets import resolve
from posteriori.settings.text import format_spec, parse_operator, parse_sampler
from posteriori.studies.guide.heldout import held_out
from posteriori.studies.tasks import SIGMA_Y
from posteriori.studies.wording import enumerated

PRIOR = "faces-64"
#: the operators as the pages name them, all with noise of SIGMA_Y
OPERATORS = {
    "inpainting": "box-mask",
    "deconvolution": "gaussian-blur(sigma=1.5)",
    "super-resolution": "downsample(factor=2)",
    "denoising": "identity",
}
#: fewer inner steps to save time: these samplers make many calls at every step
FEWER: dict[str, dict[str, Any]] = {
    "daps": {"langevin_steps": 20},
    "mala": {"inner": 2},
    "mmps": {"iterations": 1},
    "pnpdm": {"inner": 5},
    "repaint": {"repeats": 3},
}
#: to save time, samplers that make 5 to 20 calls or gradients at every step are not measured
LEFT_OUT = (DCPS, MGDM, SITCOM, Reverse)
#: the others, without the unconditional one
METHODS = tuple(cls for cls in SAMPLERS if cls not in (DDIM, *LEFT_OUT))
#: the level of the intervals that are scored
LEVEL = 0.9
#: ends of the bins of a histogram of |z|; zeros fall below the first
EDGES = np.geomspace(1e-3, 1e3, 601)


@dataclass(frozen=True)
class Cell(Job):
    """``n`` samples of ``sampler``, a text with all fields, for the held-out ``pictures`` (the first, the end).

    ``sigma`` is the noise on [-1, 1], ``size`` the pictures' side in pixels.
    """

    operator: str
    sampler: str
    pictures: tuple[int, int]
    n: int = 1
    sigma: float = SIGMA_Y
    prior: str = PRIOR
    size: int = 64

    @property
    def settings(self) -> dict[str, Any]:
        return as_json({"sha256": _record(self.prior)["sha256"], **asdict(self)})

    @property
    def label(self) -> str:
        return f"{self.sampler.partition('(')[0]}, {self.operator}"


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that the scripts share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the results")
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    return parser


def fewer() -> str:
    """FEWER in words."""
    return "; ".join(f"{name} {', '.join(f'{k} = {v}' for k, v in fields.items())}" for name, fields in FEWER.items())


def left_out() -> str:
    """LEFT_OUT in words."""
    return enumerated(cls.__name__ for cls in LEFT_OUT)


def filled(text: str) -> str:
    """Wraps paragraphs of Markdown."""
    parts = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return "\n\n".join(fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in parts)


def cell(cls: type[Sampler], operator: str, steps: int, pictures: tuple[int, int], n: int) -> Cell:
    """A cell on PRIOR with the sampler's preset; some samplers take fewer inner steps."""
    prior = network(PRIOR, 64)
    on, fewer = parse_operator(operator, prior.shape), FEWER.get(cls.name, {})
    sampler = resolve(cls, on, prior, steps=steps, sigma=SIGMA_Y, **fewer).sampler
    return Cell(operator, format_spec(sampler), pictures, n)


@cache
def network(name: str, size: int) -> Prior:
    return load_prior(name).at(size)


@cache
def _record(name: str) -> dict[str, Any]:
    return prior_record(name)


def measure(own: Cell, data: Path) -> dict[str, np.ndarray]:
    """Draws n samples for each of F pictures, and scores them.

    Gives psnr, lpips and residual (F, n), and psnr_mean and lpips_mean of the samples' mean (F,). For n > 1 also
    interval_score (F,), the standard deviation std (F, 2) and the histogram z of |z| (F, 2, bins), both for the pixels
    that A observes and for those that a mask hides. The cost is per sample: network calls (calls), vjps, and seconds of
    one core. If the sampler diverged, there is only the cost.
    """
    prior = network(own.prior, own.size)
    operator = parse_operator(own.operator, prior.shape)
    truth = held_out(own.prior, data, slice(*own.pictures), own.size)
    like = Gaussian.simulate(truth, operator, own.sigma)
    counted, started = CountedPrior(prior), time.process_time()
    try:
        x = sample(counted, like, parse_sampler(own.sampler), n=own.n, batch=max(16, own.n), progress=False)
    except FloatingPointError:
        x = None
    rows = len(truth) * own.n
    cost = {"calls": counted.images / rows, "vjps": counted.vjps / rows}
    found = {name: np.array(value) for name, value in cost.items()}
    found["seconds"] = np.array((time.process_time() - started) / rows)
    return found | (_metrics(x, truth, operator, like) if x is not None else {})


def _metrics(x: Tensor, truth: Tensor, operator: Operator, like: Gaussian) -> dict[str, np.ndarray]:
    faces, n = x.shape[:2]
    flat, each, mean = x.flatten(0, 1), truth.repeat_interleave(n, 0), x.mean(1)
    found = {
        "psnr": psnr(flat, each).reshape(faces, n),
        "lpips": lpips(flat, each).reshape(faces, n),
        "residual": like.expand(n).residual(flat).square().mean(1).sqrt().reshape(faces, n),
        "psnr_mean": psnr(mean, truth),
        "lpips_mean": lpips(mean, truth),
    }
    if n > 1:
        seen = operator.zero_filled(torch.ones_like(truth[:1]))[0] != 0
        parts = (seen, ~seen)
        z, std = standardized(x.transpose(0, 1), truth), x.std(1)
        found["interval_score"] = torch.stack([_interval_score(own, row) for own, row in zip(x, truth, strict=True)])
        found["z"] = torch.stack([torch.stack([_histogram(row[part]) for part in parts]) for row in z])
        found["std"] = torch.stack([torch.stack([row[part].square().mean().sqrt() for part in parts]) for row in std])
    return {name: value.numpy() for name, value in found.items()}


def _interval_score(x: Tensor, truth: Tensor) -> Tensor:
    """The mean of the width of the intervals at LEVEL plus 2 / (1 - LEVEL) times the truth's distance outside.

    Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", eq. 43.
    """
    low, high = credible_interval(x, LEVEL, bounds=(-1, 1))
    return ((high - low) + 2 / (1 - LEVEL) * ((low - truth).clamp(min=0) + (truth - high).clamp(min=0))).mean()


def _histogram(z: Tensor) -> Tensor:
    """Counts of |z|: below the first edge, between two, and above the last (infinite ones as well)."""
    return torch.bincount(torch.bucketize(z.double(), torch.from_numpy(EDGES)), minlength=len(EDGES) + 1)


def read(own: Cell, out: Path) -> dict[str, np.ndarray] | None:
    """The results of ``own``, None if it has not been measured."""
    found = Store(out).read(own)
    return found.arrays if found else None


def do(cells: Sequence[Cell], data: Path, out: Path, jobs: int) -> None:
    """Measures the missing ``cells`` in ``jobs`` processes of one thread each."""
    store = Store(out, print)
    left = missing(cells, store)
    with shown("measuring", {own.key: _work(own) for own in left}) as report:
        run(left, Measured(data), store, executor_of(n=jobs), report, place=out)


def _work(own: Cell) -> float:
    """The work in pixels and levels; a sampler's calls at each level are not known in advance."""
    levels = parse_sampler(own.sampler).path(network(own.prior, own.size).schedule)
    return float((own.pictures[1] - own.pictures[0]) * own.n * own.size**2 * len(levels))


@dataclass(frozen=True)
class Measured:
    """Measures a cell on the pictures in ``data``."""

    data: Path

    def __call__(self, own: Cell, tick: Tick) -> Result:
        torch.set_num_threads(1)
        return Result(arrays=measure(own, self.data))


def write_choices(entries: Sequence[choosing.Choice], out: Path) -> None:
    """Writes choosing.toml into ``out``: ``entries``, and the package's entries for other priors, operators and goals.

    The package's point estimate for a prior and operator is kept only together with its entry for GOALS[0].
    """
    measured = {(own.prior, own.operator, own.goal.replace(choosing.ESTIMATE, choosing.GOALS[0])) for own in entries}
    kept = [
        own
        for own in choosing.choices()
        if (own.prior, own.operator, own.goal.replace(choosing.ESTIMATE, choosing.GOALS[0])) not in measured
    ]
    text = "# Written by studies/guide/choosing.py and studies/guide/fronts.py: what `--sampler auto` takes, and why.\n"
    text += "# What they do not measure stays as it is.\n"
    for own in [*entries, *kept]:
        lines = [f"{name} = {json.dumps(value)}" for name, value in asdict(own).items()]
        text += "\n".join(["", "[[choice]]", *lines, ""])
    with atomic_path(out / "choosing.toml") as path:
        path.write_text(text, "utf-8")

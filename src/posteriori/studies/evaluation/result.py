"""The request for an evaluation of a prior, its results, and their tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from posteriori import __version__
from posteriori.errors import PosterioriError
from posteriori.metrics.intervals import Mean
from posteriori.restore.checks import SIGMA
from posteriori.studies.table import Table
from posteriori.studies.tasks import T_DENOISE

#: DDPM steps of a sample, as in the sheets of a training run
STEPS = 100
#: the threshold of memorisation is this quantile of the held-out pictures' distances to the training set
QUANTILE = 0.05


@dataclass(frozen=True)
class Request:
    """What to evaluate, and on what: ``holdout`` is a slice of the sorted names of ``images``, "" for all of them.

    ``prior`` is its name or path. The first ``skip`` held-out pictures are left out. The pictures that are not held
    out are the training set. ``samples`` are drawn from the prior. ``bm3d`` compares it with BM3D.
    """

    prior: str
    images: Path
    holdout: str = ""
    skip: int = 0
    samples: int = 500
    bm3d: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples == 1:
            raise PosterioriError("one sample has no distribution: give --samples 0 for none, or at least 2")

    def command(self) -> str:
        """The command line that asks for this."""
        words = ["posteriori", "priors", "evaluate", self.prior, "--images", str(self.images)]
        words += ["--holdout", self.holdout] if self.holdout else []
        words += ["--skip", str(self.skip)] if self.skip else []
        words += ["--samples", str(self.samples), *(["--bm3d"] if self.bm3d else []), "--seed", str(self.seed)]
        return shlex.join(words)


@dataclass(frozen=True)
class Denoising:
    """PSNR (dB) of one network call at ``level``, of BM3D on the same pictures, and the difference."""

    level: str
    network: Mean
    bm3d: Mean | None
    gain: Mean | None


@dataclass(frozen=True)
class Distance:
    """A kernel distance between ``m`` and ``n`` pictures, and its 95% interval."""

    between: str
    m: int
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Memorisation:
    """RMS distances of pictures to the nearest training picture or its mirror image, on [-1, 1].

    ``samples`` and ``held_out`` are medians. ``nearer`` is the share of samples below ``threshold``, the ``QUANTILE``
    quantile of held-out pictures. ``m``, ``n`` and ``training`` count samples, held-out and training pictures.
    """

    m: int
    n: int
    training: int
    samples: float
    held_out: float
    threshold: float
    nearer: float


@dataclass(frozen=True)
class Shift:
    """How far the denoiser moves ``n`` held-out pictures (``restore.checks``): the median, and 95% of them."""

    n: int
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Shift:
        low, median, high = (float(q) for q in np.quantile(values, (0.025, 0.5, 0.975)))
        return cls(len(values), median, low, high)


@dataclass(frozen=True)
class Evaluation:
    """What was measured. ``distances`` is empty without samples, ``memorisation`` None without samples or training set.

    ``damaged`` says for each picture left out what is wrong with it.
    """

    denoising: list[Denoising]
    shift: Shift
    distances: list[Distance]
    memorisation: Memorisation | None
    damaged: list[str] = field(default_factory=list)


def tables(evaluation: Evaluation) -> list[Table]:
    """The evaluation as tables."""
    shown = [_denoising_table(evaluation.denoising), _shift_table(evaluation.shift)]
    if evaluation.distances:
        shown.append(_distance_table(evaluation.distances))
    if evaluation.memorisation:
        shown.append(_memorisation_table(evaluation.memorisation))
    return shown


def _denoising_table(rows: list[Denoising]) -> Table:
    compared = rows[0].bm3d is not None
    note = (
        f"PSNR in dB, mean over {rows[0].network.n} held-out pictures ± its 95% interval. "
        f"x_t = alpha x_0 + sigma n at t = {T_DENOISE}, x_0 + sigma n otherwise; sigma on [-1, 1]."
    )
    if compared:
        note += " BM3D gets the same noisy pictures and the true sigma. Differences are taken picture by picture."
    columns = ("noise", "one network call", *(("BM3D", "difference") if compared else ()))
    cells = [(row.level, *(_psnr(m) for m in (row.network, row.bm3d)), _psnr(row.gain, "+")) for row in rows]
    return Table("Denoising", note, columns, [row[: len(columns)] for row in cells])


def _shift_table(shift: Shift) -> Table:
    note = (
        f"How far the denoiser moves held-out pictures x: the rms of D(x) - x over sigma, D the denoiser at "
        f"sigma = {SIGMA}. It is about 1 for noise. A restoration beyond this range is implausible under the prior."
    )
    row = (str(shift.n), f"{shift.median:.2f}", f"{shift.low:.2f} to {shift.high:.2f}")
    return Table("Shift", note, ("pictures", "median", "95% of them"), [row])


def _psnr(mean: Mean | None, sign: str = "") -> str:
    return mean.text(2, sign) if mean else ""


def _distance_table(distances: list[Distance]) -> Table:
    note = (
        "Kernel distance (KID) on AlexNet's conv5 features, unbiased, with its 95% bootstrap interval. It is 0 if the "
        "two sets have the same distribution. Values are comparable only on the same features and at the same size. "
        f"Samples take {STEPS} DDPM steps."
    )
    if len(distances) > 1:
        note += " The floor is the distance between two sets of real pictures."
    rows = [(d.between, f"{d.m}, {d.n}", f"{d.value:.2f}", f"{d.low:.2f} to {d.high:.2f}") for d in distances]
    return Table("Samples", note, ("between", "pictures", "distance", "95% interval"), rows)


def _memorisation_table(memorised: Memorisation) -> Table:
    note = (
        f"RMS distance on [-1, 1] to the nearest of {memorised.training:,} training pictures and their mirror images. "
        f"The threshold is the {QUANTILE:.0%} quantile of held-out pictures. A prior that copies its training "
        "pictures has more samples below it; so has one that is too smooth."
    )
    rows = [
        ("samples", str(memorised.m), f"{memorised.samples:.3f}", f"{memorised.nearer:.1%}"),
        ("held-out pictures", str(memorised.n), f"{memorised.held_out:.3f}", f"{QUANTILE:.1%} (by definition)"),
    ]
    return Table("Memorisation", note, ("pictures", "n", "median", f"nearer than {memorised.threshold:.3f}"), rows)


def markdown(evaluation: Evaluation, request: Request, record: Mapping[str, Any]) -> str:
    """The evaluation as a section of a document."""
    lines = [f"## {record['name']}", "", f"    {request.command()}", ""]
    lines += [f"posteriori {__version__}; weights of sha256 {record['sha256'][:16]}."]
    for table in tables(evaluation):
        lines += ["", f"### {table.title}", "", table.markdown(), "", fill(table.note, 120)]
    return "\n".join(lines) + "\n"

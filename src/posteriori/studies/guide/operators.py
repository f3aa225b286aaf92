"""Which samplers run on which operators, and how well: writes the last part of docs/operators.md and its pictures.

    python -m posteriori.studies.guide.operators --data DATA --out out/operators --page docs/operators.md

Which samplers run follows from what they require. A few candidates are measured on held-out pictures with every
operator that has defaults. The pictures shown are the package's own. A stopped run resumes. The page's sections on
priors that are not among --priors stay.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from posteriori.files import atomic_path
from posteriori.images.files import load_image, to_tensor, to_uint8
from posteriori.images.sheets import sheet
from posteriori.jobs.executor import Tick
from posteriori.jobs.executors import executor_of
from posteriori.jobs.key import Job
from posteriori.jobs.progress import shown
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Result, Store
from posteriori.likelihoods import GaussianNoise, PoissonNoise
from posteriori.likelihoods.base import Likelihood, Linear, Spectral
from posteriori.loop import sample
from posteriori.metrics import lpips, psnr
from posteriori.operators import OPERATORS, Dense, Mask
from posteriori.operators.base import Operator
from posteriori.operators.rounding import Rounding
from posteriori.sampler import State
from posteriori.samplers import SAMPLERS
from posteriori.settings.presets import resolve
from posteriori.settings.text import format_spec, parse_operator, parse_sampler, read_sampler
from posteriori.studies.guide.cells import filled, network
from posteriori.studies.guide.heldout import held_out
from posteriori.studies.table import Table
from posteriori.studies.tasks import SIGMA_Y


class Setup(NamedTuple):
    """The side at which a prior is measured, its held-out pictures, and the picture that is shown."""

    size: int
    pictures: tuple[int, int]
    bundled: str


PRIORS = {
    "faces-64": Setup(64, (32, 34), "astronaut"),
    "photo": Setup(128, (8, 10), "chelsea"),
}
#: replace an operator's defaults, which would leave little of 64 x 64 pixels
SET = {"gaussian-blur": "gaussian-blur(sigma=1.5)"}
#: these need an array
WITHOUT_DEFAULT = (Dense, Mask)

_BAYES = "diffpir(lambda_=1.0, zeta=1.0, steps=30)"
_MMPS, _DAPS = "mmps(iterations=1, steps=30)", "daps(steps=30, ode_steps=1)"
#: texts of the candidates, by what the likelihood can do
CANDIDATES = {
    "spectral": (_BAYES, "ddrm(eta=0.85, steps=30)", _MMPS),
    "linear": (_BAYES, "pigdm(steps=30)", _MMPS),
    "rounded": (_BAYES, "dpir(sigma_min=0.02, steps=8)", _DAPS),
    "any": (_DAPS, "dps(steps=30)", "reddiff(steps=30)"),
    "ambiguous": (_DAPS, "dps(steps=30)", "pnpdm(steps=80)"),
}
HEADING = "## Samplers on operators\n"
PLACES = ("best in PSNR", "second", "third")
#: operators in a row of the sheet of pictures, and a picture's side there
ABREAST, SIDE = 2, 120


@dataclass(frozen=True)
class Restored(Job):
    """``sampler``, a text with all fields, on ``operator``: the held-out ``pictures`` and the one that is shown."""

    prior: str
    operator: str
    sampler: str
    sigma: float
    pictures: tuple[int, int]

    @property
    def label(self) -> str:
        return f"{self.sampler.partition('(')[0]}, {self.operator}, {self.prior}"

    @property
    def name(self) -> str:
        return self.sampler.partition("(")[0]


def texts() -> list[str]:
    """The operators that are measured, as texts."""
    return [SET.get(cls.name, cls.name) for cls in OPERATORS if cls not in WITHOUT_DEFAULT]


def noise_of(operator: Operator) -> float:
    """sigma on [-1, 1]; 0 for operators that round, which have no other noise."""
    return 0.0 if isinstance(operator, Rounding) else SIGMA_Y


def likelihood(operator: Operator) -> Likelihood:
    """The likelihood of a measurement of zeros, to see what it supports."""
    return GaussianNoise(noise_of(operator)).likelihood(torch.zeros(1, *operator.measured_shape), operator)


def candidates(operator: Operator) -> tuple[str, ...]:
    like = likelihood(operator)
    kind = "spectral" if isinstance(like, Spectral) else "linear" if isinstance(like, Linear) else "any"
    if operator.ambiguous:
        return CANDIDATES["ambiguous"]
    return CANDIDATES["rounded" if isinstance(operator, Rounding) else kind]


@cache
def jobs(prior: str) -> list[Restored]:
    """The first candidate on every operator, then the second, and so on."""
    own = PRIORS[prior]
    net = network(prior, own.size)
    operators = {text: parse_operator(text, net.shape) for text in texts()}
    rounds = zip(*map(candidates, operators.values()), strict=True)
    found = []
    for each in rounds:
        for (text, operator), candidate in zip(operators.items(), each, strict=True):
            spec, sigma = read_sampler(candidate), noise_of(operator)
            given = {"steps": spec.fields[spec.cls.count]} | spec.fields
            sampler = resolve(spec.cls, operator, net, sigma=sigma, **given).sampler
            found.append(Restored(prior, text, format_spec(sampler), sigma, own.pictures))
    return found


def pictures_of(prior: str, rows: tuple[int, int], data: Path) -> tuple[Tensor, Tensor]:
    """The held-out pictures, and the one that is shown."""
    own = PRIORS[prior]
    return held_out(prior, data, slice(*rows), own.size), load_image(own.bundled, size=own.size)


@dataclass(frozen=True)
class Work:
    """PSNR and LPIPS of each held-out picture, seconds of a processor for each, and the restored picture, uint8."""

    data: Path

    def __call__(self, job: Restored, tick: Tick) -> Result:
        torch.set_num_threads(1)
        prior, sampler = network(job.prior, PRIORS[job.prior].size), parse_sampler(job.sampler)
        truth, own = pictures_of(job.prior, job.pictures, self.data)
        x = torch.cat([truth, own])
        operator = parse_operator(job.operator, prior.shape)
        like, started = GaussianNoise(job.sigma).simulate(x, operator), time.process_time()

        def watch(state: State, step: int, steps: int, rows: slice) -> None:
            tick(step / steps, job.label)

        try:
            x = sample(prior, like, sampler, callbacks=[watch], progress=False)[:, 0]
        except FloatingPointError as error:
            return Result({"failed": str(error)})
        seconds = (time.process_time() - started) / len(x)
        restored = x[: len(truth)]
        values = {"psnr": psnr(restored, truth).tolist(), "lpips": lpips(restored, truth).tolist(), "seconds": seconds}
        return Result(values, {"picture": to_uint8(x[-1])})


def fitting(like: Likelihood) -> tuple[str, str]:
    """The samplers that run on ``like``, and what the others need, in Markdown."""
    run: list[str] = []
    needs: dict[str, list[str]] = {}
    for cls in SAMPLERS:
        requires = cls().requires  # of an instance: some take it from the sampler inside
        (run if isinstance(like, requires) else needs.setdefault(requires.needs, [])).append(cls.name)
    return ", ".join(run), "; ".join(f"{what}: {', '.join(names)}" for what, names in needs.items()) or "none"


def admitted() -> Table:
    """Operators with the same samplers in one row: computed from what each sampler requires."""
    rows: dict[tuple[str, str], list[str]] = {}
    for text in texts():
        operator = parse_operator(text, network("faces-64", 64).shape)
        rows.setdefault(fitting(likelihood(operator)), []).append(text.partition("(")[0])
    picture = torch.zeros(1, 3, 8, 8)
    other = PoissonNoise(30.0).likelihood(picture, parse_operator("identity", (3, 8, 8)))
    rows.setdefault(fitting(other), []).append("any operator, where the noise is not Gaussian")
    lines = [(", ".join(names), run, why) for (run, why), names in rows.items()]
    return Table("", "", ("operator", "samplers that run", "what the others require"), lines)


def ranked(found: dict[Restored, Result], operator: str) -> list[tuple[Restored, Result]]:
    """The best by PSNR first; without those that reached NaN."""
    own = [(job, result) for job, result in found.items() if job.operator == operator and "psnr" in result.values]
    return sorted(own, key=lambda pair: -fmean(pair[1].values["psnr"]))[: len(PLACES)]


def most(found: dict[Restored, Result]) -> int:
    """The largest number of samplers ranked on an operator."""
    return max((len(ranked(found, job.operator)) for job in found), default=0)


def measured(found: dict[Restored, Result]) -> Table:
    rows, shown = [], most(found)
    for operator in dict.fromkeys(job.operator for job in found):
        best = ranked(found, operator)
        cells = [
            f"{job.name}: {fmean(own.values['psnr']):.2f} dB, {fmean(own.values['lpips']):.3f}, "
            f"{own.values['seconds']:.1f} s"
            for job, own in best
        ]
        rows.append((operator, *cells, *[""] * (shown - len(cells))))
    return Table("", "", ("operator", *PLACES[:shown]), rows)


def drawn(prior: str, operators: Sequence[str], found: dict[Restored, Result], path: Path) -> None:
    """Draws for each operator the measurement (or its drawing) and the best restorations; the truth is at the end."""
    truth, images, labels = load_image(PRIORS[prior].bundled, size=PRIORS[prior].size), [], []
    width = 1 + most(found)
    for text in operators:
        operator = parse_operator(text, truth.shape[1:])
        y = GaussianNoise(noise_of(operator)).simulate(truth, operator).y
        drawing = operator.drawing(y)
        shown = F.interpolate(drawing[1] if drawing else y, (SIDE, SIDE), mode="nearest-exact")
        images.append(shown.expand(1, 3, -1, -1))
        labels.append(text.partition("(")[0])
        for job, own in ranked(found, text):
            restored = to_tensor(own.arrays["picture"])
            images.append(_enlarged(restored))
            labels.append(f"{job.name} {psnr(restored, truth).item():.1f}")
        while len(images) % width:
            images.append(torch.ones_like(images[0]))
            labels.append("")
    sheet(torch.cat([*images, _enlarged(truth)]), path, columns=ABREAST * width, labels=[*labels, "truth"], cell=SIDE)


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(-1, 1)


def section(prior: str, found: dict[Restored, Result], picture: str) -> str:
    """The page's section on ``prior``; ``picture`` is the sheet's name."""
    own = PRIORS[prior]
    text = MEASURED.format(n=own.pictures[1] - own.pictures[0], prior=prior, sigma=SIGMA_Y, **own._asdict())
    parts = [heading(prior), filled(text), measured(found).markdown(), failures(found)]
    return _joined([*parts, f"![What {prior} makes of every operator's measurement]({picture})"])


def heading(prior: str) -> str:
    return f"### {prior}, {PRIORS[prior].size} x {PRIORS[prior].size}"


def _joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip())


def failures(found: dict[Restored, Result]) -> str:
    failed = [f"{job.name} on {job.operator}" for job, own in found.items() if "failed" in own.values]
    return f"Reached NaN: {', '.join(failed)}." if failed else ""


INTRODUCTION = """
Each sampler states what it requires of the likelihood, and this table follows from that. `sample` refuses any other
pair with a one-line message that names the samplers that fit. The table is for Gaussian noise. `jpeg` and `bit-depth`
have no noise, except for PnP-DM, which needs some: it follows the density of y. This part of the page is written by
`python -m posteriori.studies.guide.operators --data DATA --out out/operators --page docs/operators.md`.
"""
MEASURED = """
On each operator up to three candidates were run in few steps, with one sample each. The cells have the mean PSNR and
LPIPS of {n} held-out pictures that were not used for tuning, with noise {sigma} ({prior}, {size} x {size}), and the
seconds of one busy core per picture. The best PSNR is first. Operators have their defaults unless fields are shown.
{n} pictures resolve only large differences. The sheet below shows `{bundled}` in the order of the table, with the
PSNR in dB of that one picture.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds faces-128.zip and bsds500-train")
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the results")
    parser.add_argument("--page", type=Path, required=True, help="page whose part below the heading is rewritten")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--priors", nargs="*", default=list(PRIORS), choices=list(PRIORS))
    asked = parser.parse_args()
    store, all_jobs = Store(asked.out, print), [job for prior in asked.priors for job in jobs(prior)]
    left = missing(all_jobs, store)
    with shown("measuring", {job.key: 1.0 for job in left}) as report:
        run(left, Work(asked.data), store, executor_of(n=asked.jobs), report, place=asked.out)
    write(asked.page, asked.priors, store)


def write(page: Path, priors: Sequence[str], store: Store) -> None:
    """Rewrites the part of ``page`` below HEADING, and the pictures in the folder of its name.

    The sections on priors other than ``priors`` stay.
    """
    folder = page.with_suffix("")
    before, _, below = page.read_text("utf-8").partition(HEADING)
    parts = [before, HEADING, filled(INTRODUCTION), admitted().markdown()]
    for prior in PRIORS:
        if prior not in priors:
            _, named, rest = below.partition(heading(prior))
            parts.append(named + rest.partition("\n### ")[0])
            continue
        folder.mkdir(parents=True, exist_ok=True)
        found = {job: own for job in jobs(prior) if (own := store.read(job))}
        picture = folder / f"{prior}.jpg"
        drawn(prior, list(dict.fromkeys(job.operator for job in found)), found, picture)
        parts.append(section(prior, found, picture.relative_to(page.parent).as_posix()))
    with atomic_path(page) as path:
        path.write_text(_joined(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main()

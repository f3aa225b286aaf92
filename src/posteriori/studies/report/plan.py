"""Which runs the report is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from posteriori.priors.base import Prior
from posteriori.sampler import Sampler
from posteriori.samplers import DDIM, DPS, ScoreALD, SDEdit
from posteriori.settings.presets import resolve
from posteriori.settings.text import format_spec
from posteriori.studies.engine.plan import DENOISE, MEASUREMENT, Run
from posteriori.studies.sweep import Axis
from posteriori.studies.tasks import SIGMA_Y, T_DENOISE, Task


@dataclass(frozen=True)
class Scope:
    """How much is run: pictures to report (None: all there are) and to tune on, steps, and the ladder of steps.

    The ladder and the ablation are on the first ``fewer`` of the reported pictures; DDIM's rungs end at ``ddim``.
    """

    reported: int | None
    tuning: int
    steps: int
    ladder: tuple[int, ...]
    ddim: int
    fewer: int | None

    def with_pictures(self, n: int) -> Scope:
        """With ``n`` pictures reported; at least an eighth as many for ladder and ablation, a sixteenth for tuning."""
        fewer = self.fewer and max(self.fewer, n // 8)
        return replace(self, reported=n, fewer=fewer, tuning=max(self.tuning, n // 16))


SMALL = Scope(reported=8, tuning=2, steps=100, ladder=(20, 50, 100, 250), ddim=100, fewer=4)
FULL = Scope(reported=None, tuning=8, steps=1000, ladder=(20, 50, 100, 250, 1000), ddim=1000, fewer=None)

#: the methods of table 1, by the sampler's name
METHODS: dict[str, type[Sampler]] = {"sdedit": SDEdit, "scoreald": ScoreALD, "dps": DPS}
#: names for people
LABELS = {"measurement": "measurement", "sdedit": "SDEdit", "scoreald": "ScoreALD", "dps": "DPS"}
#: SDEdit's starting times in the sensitivity analysis; the report's is 500
T_START = Axis("t_start", (200, 350, 500, 650, 800))
#: the endpoints of ScoreALD's schedule there, as multiples of the preset's
ENDPOINTS = (0.5, 1.0, 2.0)
#: lambda_0 / lambda_T in the ablation: the report's 15 / 10
ANNEALING = 1.5


def methods(template: Run, task: Task, prior: Prior, steps: int) -> dict[str, Run]:
    """The runs of table 1 on one task: the measurement and each method with its preset."""
    runs = {MEASUREMENT: replace(template, method=MEASUREMENT)}
    for name, cls in METHODS.items():
        runs[name] = replace(
            template, method=format_spec(resolve(cls, task.operator, prior, steps=steps, sigma=SIGMA_Y).sampler)
        )
    return runs


def single_pass(template: Run) -> Run:
    """The report's baseline: one network call at t = 100."""
    return replace(template, method=f"{DENOISE}(t={T_DENOISE})", operator="", sigma=0.0, frames=2)


def samples(template: Run, steps: int, n: int, *, frames: int = 1, first: int = 0) -> Run:
    """``n`` samples of the prior alone."""
    method = format_spec(DDIM(steps=steps))
    return replace(template, method=method, operator="", sigma=0.0, images=(), seeds=tuple(range(first, first + n)),
                   frames=frames)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A scaling of the same gradient: its formula, the sampler at a strength, and where the search begins."""

    name: str
    formula: str
    sampler: Callable[[float], Sampler]
    centre: float


def variants(task: Task, prior: Prior, steps: int) -> list[Variant]:
    """The four scalings of the ablation, each tuned by its c.

    Searches begin at the presets. The squared norm has none, as no paper steps along its gradient alone. Its search
    begins where its step 2 c |r| g equals c g of the norm's preset at |r| = sigma sqrt(m), a residual of pure noise.
    """

    def dps(gradient: str) -> DPS:
        return resolve(DPS, task.operator, prior, steps=steps, sigma=SIGMA_Y, gradient=gradient).sampler

    unit, norm = dps("unit"), dps("norm")
    annealed = resolve(ScoreALD, task.operator, prior, steps=steps, sigma=SIGMA_Y).sampler
    m = task.operator.observed_entries(task.operator(torch.zeros(1, *prior.shape))).shape[1]
    return [
        Variant("unit", "c g / |g|", lambda c: replace(unit, scale=c), unit.scale),
        Variant("norm", "c g", lambda c: replace(norm, scale=c), norm.scale),
        Variant("linear", "lambda_t g, c to 1.5 c", lambda c: replace(annealed, lambda_T=c, lambda_0=ANNEALING * c),
                annealed.lambda_T),
        Variant("square", "2 c |r| g", lambda c: replace(unit, gradient="square", scale=c),
                norm.scale / (2 * SIGMA_Y * m**0.5)),
    ]  # fmt: skip


def first_round() -> tuple[float, ...]:
    """The exponents of two that are tried first for every variant."""
    return (-1.0, 0.0, 1.0)


def second_round(best: float) -> tuple[float, ...]:
    """Two more exponents: further out if the best one was at an end, in between if it was not."""
    return (best + best, 3 * best) if best else (-0.5, 0.5)


def strength(centre: float, exponent: float) -> float:
    """``centre`` times 2 ** exponent, to four digits."""
    return float(f"{centre * 2**exponent:.4g}")


def tuning_runs(template: Run, variant: Variant, exponents: Sequence[float]) -> dict[float, Run]:
    """A run at each exponent."""
    return {e: replace(template, method=format_spec(variant.sampler(strength(variant.centre, e)))) for e in exponents}


def ladder(template: Run, task: Task, prior: Prior, scope: Scope) -> dict[str, dict[int, Run]]:
    """DPS at fewer steps, of DDPM and of DDIM, each with the preset for its number of steps."""

    def at(steps: int, eta: float) -> Run:
        sampler = resolve(DPS, task.operator, prior, steps=steps, sigma=SIGMA_Y, eta=eta).sampler
        return replace(template, method=format_spec(sampler))

    return {
        "DPS": {steps: at(steps, 1.0) for steps in scope.ladder},
        "DPS, DDIM steps": {steps: at(steps, 0.0) for steps in scope.ladder if steps <= scope.ddim},
    }


def endpoint_axes(task: Task, prior: Prior, steps: int) -> tuple[Axis, Axis]:
    """ScoreALD's two endpoints around the preset's."""
    annealed = resolve(ScoreALD, task.operator, prior, steps=steps, sigma=SIGMA_Y).sampler
    return tuple(
        Axis(name, tuple(float(f"{getattr(annealed, name) * factor:.4g}") for factor in ENDPOINTS))
        for name in ("lambda_T", "lambda_0")
    )  # ty: ignore[invalid-explicit-return]

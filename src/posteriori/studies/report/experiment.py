"""Runs the plan, and holds its results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from posteriori.images.files import to_tensor
from posteriori.metrics.intervals import Estimate
from posteriori.priors.gaussian import LowRankGaussian
from posteriori.rng import generator
from posteriori.settings.text import format_spec
from posteriori.studies import pictures as chosen
from posteriori.studies.engine.campaign import Campaign
from posteriori.studies.engine.plan import Item, Pictures, Run
from posteriori.studies.engine.store import Result
from posteriori.studies.engine.work import compute
from posteriori.studies.pictures import Split
from posteriori.studies.report import plan
from posteriori.studies.report.plan import Scope, Variant
from posteriori.studies.sweep import Axis, Measured, Point, grid, measured
from posteriori.studies.tasks import SIGMA_Y, Task, tasks
from posteriori.studies.wording import counted

#: steps and number of the prior's own samples, which the Gaussian is fitted to if no training set is given
_SAMPLE_STEPS, _SAMPLES = 100, 32
#: training pictures that the Gaussian is fitted to, and its axes
_FITTED, _RANK = 2000, 300


@dataclass
class Tuned:
    """A variant's search: its points by exponent, the best one's strength, and its run on the reported pictures."""

    variant: Variant
    points: dict[float, Measured]
    best: float
    result: Result

    @property
    def strength(self) -> float:
        return plan.strength(self.variant.centre, self.best)


@dataclass
class OnTask:
    """Everything that was measured on one task. ``gaussian`` is (t, |g|), with the Gaussian in the prior's place."""

    task: Task
    methods: dict[str, Result]
    tuned: list[Tuned]
    endpoints: tuple[tuple[Axis, Axis], list[Measured]]
    t_start: list[Measured]
    ladder: dict[str, dict[int, Result]]
    gaussian: tuple[np.ndarray, np.ndarray]


@dataclass
class Reproduction:
    """The report's finished runs."""

    campaign: Campaign
    scope: Scope
    seeds: tuple[int, ...]
    split: Split
    tuning: Pictures
    single_pass: Result
    unconditional: Result
    tasks: list[OnTask] = field(default_factory=list)
    fitted_to: str = ""


def own_samples(campaign: Campaign, n: int) -> Pictures:
    """``n`` samples of the prior as pictures."""
    run = plan.samples(campaign.template(None, "", 0.0, (0,)), _SAMPLE_STEPS, n)
    campaign.do([Item("the prior's own samples", run)], {})
    return Pictures(tuple(f"sample {i}" for i in range(n)), to_tensor(campaign.read(run).pictures["x"]))


def choose(campaign: Campaign, scope: Scope) -> tuple[Split, Pictures]:
    """The split if no pictures are given: bundled ones and samples of the prior. Also all samples, for the Gaussian."""
    samples = own_samples(campaign, _SAMPLES)
    n = scope.reported or 8
    bundled = chosen.bundled(campaign.prior.shape[-1])[:n]
    more = n - len(bundled)
    reported = chosen.joined(bundled, samples[scope.tuning : scope.tuning + more])
    about = ", ".join(bundled.labels) + (f", and {counted(more, 'sample')} of the prior itself" if more else "")
    return Split(samples[: scope.tuning], reported, about), samples


def reproduce(campaign: Campaign, split: Split | None, scope: Scope, seeds: tuple[int, ...]) -> Reproduction:
    """Computes the missing runs, and returns the results of all."""
    samples = None
    if split is None:
        split, samples = choose(campaign, scope)
    tuning = split.tuning or own_samples(campaign, _SAMPLES)[: scope.tuning]
    everything = chosen.by_hash(tuning, split.reported)
    several = [_Work(campaign, task, scope, seeds, split.reported, tuning) for task in tasks(campaign.prior.shape)]
    whole = campaign.template(split.reported, "", SIGMA_Y, seeds, frames=1)
    baseline, sample = plan.single_pass(whole), plan.samples(whole, scope.steps, 1, frames=8)
    items = [Item("table 1", baseline), *(item for work in several for item in work.first())]
    items.append(Item("unconditional sample", sample))
    # the second round costs two thirds of the first; the ablation costs as much as runs with the presets
    again = campaign.estimate([item for work in several for item in work.searched()]) * 2 / 3
    last = campaign.estimate([Item("", run) for work in several for run in work.ablation(0.0)])
    campaign.do(items, everything, later=again + last)
    campaign.do([item for work in several for item in work.second()], everything, later=last)
    campaign.do([item for work in several for item in work.third()], everything)
    gaussian, fitted_to = _gaussian(split, samples, campaign)
    done = Reproduction(
        campaign, scope, seeds, split, tuning, campaign.read(baseline), campaign.read(sample), [], fitted_to
    )
    done.tasks = [work.read(gaussian, everything) for work in several]
    return done


class _Work:
    """The runs on one task. ``second`` and ``third`` depend on the results of those before them."""

    def __init__(
        self, campaign: Campaign, task: Task, scope: Scope, seeds: tuple[int, ...], reported: Pictures, tuning: Pictures
    ):
        self.campaign, self.task = campaign, task
        prior, text = campaign.prior, format_spec(task.operator)
        whole = campaign.template(reported, text, SIGMA_Y, seeds, frames=1)
        self.fewer = campaign.template(reported[: scope.fewer], text, SIGMA_Y, seeds)
        self.chosen = campaign.template(tuning, text, SIGMA_Y, seeds)
        self.variants = plan.variants(task, prior, scope.steps)
        self.methods = plan.methods(whole, task, prior, scope.steps)
        self.ladder = plan.ladder(self.fewer, task, prior, scope)
        self.axes = plan.endpoint_axes(task, prior, scope.steps)
        self.endpoints = grid(self.axes, "scoreald", task.operator, prior, self.chosen, steps=scope.steps)
        self.t_start = grid([plan.T_START], "sdedit", task.operator, prior, self.chosen, steps=scope.steps)
        self.search = {v.name: plan.tuning_runs(self.chosen, v, plan.first_round()) for v in self.variants}
        self.best: dict[str, float] = {}

    def searched(self) -> list[Item]:
        return [Item("tuning", run) for runs in self.search.values() for run in runs.values()]

    def first(self) -> list[Item]:
        items = [Item("table 1", run) for run in self.methods.values()]
        items += self.searched()
        items += [Item("sensitivity", point.run) for point in [*self.endpoints, *self.t_start]]
        return items + [Item("fewer steps", run) for runs in self.ladder.values() for run in runs.values()]

    def _best(self, name: str) -> float:
        tried = self.search[name]
        return max(tried, key=lambda exponent: self._measured(tried[exponent]).psnr.rank)

    def _measured(self, run: Run) -> Measured:
        return measured([Point((run.method,), run)], self.campaign.runs)[0]

    def second(self) -> list[Item]:
        for variant in self.variants:
            more = plan.second_round(self._best(variant.name))
            self.search[variant.name] |= plan.tuning_runs(self.chosen, variant, more)
        return self.searched()

    def ablation(self, exponent: float | None = None) -> list[Run]:
        """Each variant at its best strength, or at ``exponent``."""
        runs = []
        for variant in self.variants:
            best = self._best(variant.name) if exponent is None else exponent
            runs += plan.tuning_runs(self.fewer, variant, [best]).values()
        return runs

    def third(self) -> list[Item]:
        return [Item("ablation", run) for run in self.ablation()]

    def read(self, gaussian: LowRankGaussian, everything: Mapping[str, Tensor]) -> OnTask:
        read, runs = self.campaign.read, self.campaign.runs
        tuned = [
            Tuned(
                variant,
                {e: self._measured(run) for e, run in sorted(self.search[variant.name].items())},
                self._best(variant.name),
                read(run),
            )
            for variant, run in zip(self.variants, self.ablation(), strict=True)
        ]
        return OnTask(
            self.task,
            {name: read(run) for name, run in self.methods.items()},
            tuned,
            (self.axes, measured(self.endpoints, runs)),
            measured(self.t_start, runs),
            {name: {n: read(run) for n, run in runs.items()} for name, runs in self.ladder.items()},
            _gaussian_gradient(self.methods["dps"], gaussian, everything),
        )


def _gaussian(split: Split, samples: Pictures | None, campaign: Campaign) -> tuple[LowRankGaussian, str]:
    """The Gaussian with the training set's mean and covariance, and what it was fitted to."""
    if split.training:
        source, names = split.training
        order = torch.randperm(len(names), generator=generator(0))[:_FITTED].tolist()
        x = chosen.decoded(source, [names[i] for i in order], campaign.prior.shape[-1])
        fitted_to = f"{len(x)} training pictures"
    else:
        x = (samples or own_samples(campaign, _SAMPLES)).x
        fitted_to = f"{len(x)} samples of the prior (no training set was given)"
    rank = min(_RANK, len(x) - 1)
    return LowRankGaussian.fit(x, rank, schedule=campaign.prior.schedule), f"{fitted_to}, with {rank} axes"


def _gaussian_gradient(
    run: Run, gaussian: LowRankGaussian, everything: Mapping[str, Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """(t, |g|) of the same run with the Gaussian as the prior: t (S,), |g| (S, rows)."""
    run = replace(run, frames=0)
    truth = torch.stack([everything[run.images[i][1]] for i, _ in run.rows])
    trace = compute(run, run.rows, gaussian, truth, lambda calls: None).trace
    return trace["t"], trace["gradient"]


def paired(a: Result, b: Result, metric: str) -> Estimate:
    """``a`` minus ``b``, picture by picture."""
    return Estimate.of(a.by_image(metric) - b.by_image(metric))

"""Estimates how long runs will take."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from posteriori.jobs.cost import seconds_of_a_step
from posteriori.likelihoods import Flat
from posteriori.loop import admit
from posteriori.priors.base import Prior
from posteriori.sampler import Sampler
from posteriori.settings.text import parse_operator, parse_sampler
from posteriori.studies.engine.plan import DENOISE, MEASUREMENT, Rows, Run


def steps(run: Run, prior: Prior) -> int:
    """Network calls that restore one group of ``run``, counting one per step of a sampler."""
    if run.method == MEASUREMENT:
        return 0
    return 1 if run.method.startswith(DENOISE) else len(parse_sampler(run.method).path(prior.schedule)) - 1


def seconds(groups: Sequence[Rows], prior: Prior, jobs: int = 1) -> dict[str, float]:
    """Estimated seconds of each of ``groups`` by key, if ``jobs`` processes share them. Times a step of each method."""
    rates: dict[str, float] = {}
    estimate = {}
    for group in groups:
        run, kind = group.run, group.run.method.partition("(")[0]
        if kind in (MEASUREMENT, DENOISE):
            estimate[group.key] = 0.1
            continue
        if kind not in rates:
            rates[kind] = _seconds_of_a_step(parse_sampler(run.method), run, prior)
        estimate[group.key] = steps(run, prior) * rates[kind] * len(run.groups[0]) / run.batch / jobs
    return estimate


def _seconds_of_a_step(sampler: Sampler, run: Run, prior: Prior) -> float:
    """The seconds of a step with a whole batch."""
    x = torch.zeros(run.batch, *prior.shape)
    operator = parse_operator(run.operator, run.shape) if run.operator else None
    like = run.noise.likelihood(operator(x), operator) if operator else Flat(run.batch, run.shape)
    admit(sampler, like)
    return seconds_of_a_step(sampler, prior, like.to(prior.device))

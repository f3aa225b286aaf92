"""What runs will take, in memory and in time, before they start."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from posteriori.jobs.cost import seconds_of_a_step
from posteriori.likelihoods import Flat, noise_model
from posteriori.priors.base import Prior
from posteriori.restore.restoration import batch_for
from posteriori.sampler import Sampler
from posteriori.settings.text import parse_operator, parse_sampler
from posteriori.studies.engine.plan import DENOISE, MEASUREMENT, Rows, Run

#: the share of the free memory that one network call may fill
_SHARE = 0.5


def batch_auto(prior: Prior, jobs: int = 1) -> int:
    """Rows of one network call with its gradient: as many as pay at this size, and as the free memory holds."""
    rows = int(_SHARE * _free_memory(prior.device) / (jobs * _memory_of_a_row(prior)))
    if rows < 1:
        raise MemoryError(
            f"one picture of {prior.shape[2]} x {prior.shape[1]} needs {_memory_of_a_row(prior) / 2**30:.1f} GiB, more "
            "than half of the free memory: take a smaller prior, or fewer --jobs"
        )
    return min(rows, batch_for(prior))


def _memory_of_a_row(prior: Prior) -> int:
    """Bytes that autograd keeps for the gradient of one row's estimate."""
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x_t = torch.zeros(1, *prior.shape, device=prior.device, requires_grad=True)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        prior.denoise(x_t, prior.schedule.level(prior.schedule.end / 2))
    return max(1, sum(kept.values()))


def _free_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def steps(run: Run, prior: Prior) -> int:
    """Network calls that restore one of its groups, a sampler's step counted as one."""
    if run.method == MEASUREMENT:
        return 0
    return 1 if run.method.startswith(DENOISE) else len(parse_sampler(run.method).path(prior.schedule)) - 1


def seconds(groups: Sequence[Rows], prior: Prior, jobs: int = 1) -> dict[str, float]:
    """Estimated seconds of each of ``groups``, by key, where ``jobs`` share them; a step of each method is timed."""
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
    """Of a whole batch."""
    x = torch.zeros(run.batch, *prior.shape)
    operator = parse_operator(run.operator, run.shape) if run.operator else None
    like = noise_model(run.sigma).likelihood(operator(x), operator) if operator else Flat(run.batch, run.shape)
    return seconds_of_a_step(sampler, prior, like.to(prior.device))

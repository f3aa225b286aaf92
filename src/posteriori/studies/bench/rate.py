"""Which share of a machine's matrix rate a step reaches, and where the rest of its time goes."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from posteriori.jobs.executor import Tick
from posteriori.jobs.store import Result
from posteriori.studies.bench.clock import Timing, in_turns, medians, threads
from posteriori.studies.bench.networks import dps, prior_of


@dataclass(frozen=True, kw_only=True)
class Rate(Timing):
    """One DPS step of ``batch`` pictures on ``network`` in turns with a product of two ``side`` x ``side`` matrices.

    Gives the seconds and flops of a step, the product's rate in FLOP/s, the share of that rate that the step reaches
    (median over rounds), and profile, the operations that take most of the step's time with their shares.
    """

    network: str
    dtype: str
    batch: int = 1
    device: str = "cpu"
    side: int = 2048
    rounds: int = 5

    @property
    def label(self) -> str:
        return f"rate of {self.network} in {self.dtype}, batch {self.batch}, on {self.device}"

    @property
    def work(self) -> float:
        return (5.0 if self.network == "ffhq-256" else 0.5) * self.batch * (self.rounds + 4)

    def measure(self, tick: Tick) -> Result:
        step = dps(prior_of(self.network, self.dtype, self.device), rows=self.batch)
        a, b = torch.randn(2, self.side, self.side).to(self.device, getattr(torch, self.dtype))
        with threads(self.threads):
            flops = counted(step)
            alone = self.threads == 1 and self.device == "cpu"
            runs = in_turns({"step": step, "product": lambda: a @ b}, self.rounds, tick, alone=alone)
            parts = profiled(step, self.device)
        product = 2 * self.side**3
        own = [flops / took / (product / other) for took, other in zip(runs["step"], runs["product"], strict=True)]
        found = medians(runs)
        values = {"seconds": found["step"], "flops": flops, "rate": product / found["product"]}
        return Result(values | {"share": statistics.median(own), "profile": parts})


def counted(work: Callable[[], object]) -> int:
    """The floating-point operations of ``work``'s products and convolutions, a multiplication and an addition each."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def profiled(work: Callable[[], object], device: str, most: int = 6) -> list[tuple[str, float]]:
    """torch's operations with their own share of ``work``'s time on the device, the ``most`` largest first."""
    gpu = device == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * gpu]) as found:
        work()

    def own(event: Any) -> float:
        return event.self_device_time_total if gpu else event.self_cpu_time_total

    events = sorted(found.key_averages(), key=own, reverse=True)
    total = sum(map(own, events))
    return [(event.key.removeprefix("aten::"), own(event) / total) for event in events[:most]]

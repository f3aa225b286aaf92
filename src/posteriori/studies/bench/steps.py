"""One DPS step compared with other codes: seconds in turns in one process, memory in a new process each."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from posteriori.jobs.executor import Tick
from posteriori.jobs.store import Result
from posteriori.schedule import Level
from posteriori.studies.bench.clock import Timing, in_turns, medians, spread, threads
from posteriori.studies.bench.networks import Problem, State, dps, flags_of, random_prior, random_state
from posteriori.studies.bench.peers import PEERS, Peer

OURS = "posteriori"
#: where the kernel says how much memory a process holds, and where its peak is reset
_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Loop:
    """A code's loop in an arithmetic. Other codes have no bfloat16: it means torch's autocast around their loop."""

    code: str
    dtype: str

    @property
    def name(self) -> str:
        return f"{self.code} {self.dtype}"


@dataclass(frozen=True, kw_only=True)
class Steps(Timing):
    """Times ``codes`` in both arithmetics on ``network`` with the same weights. Gives seconds and ``clock.spread`` by
    the loop's name."""

    network: str
    codes: tuple[str, ...]
    rounds: int = 5

    @property
    def label(self) -> str:
        return f"a step of {', '.join(self.codes)} on {self.network}, {self.threads} threads"

    @property
    def work(self) -> float:
        return 60.0 * self.rounds * len(self.codes) / 3 / self.threads

    def measure(self, tick: Tick) -> Result:
        tick(0.0, "loading the networks")
        steps = {name: step for name, (step, _) in loops(self.network, self.codes).items()}
        with threads(self.threads):
            runs = in_turns(steps, self.rounds, tick, alone=self.threads == 1)
        return Result({"seconds": medians(runs), "spread": {name: spread(values) for name, values in runs.items()}})


@dataclass(frozen=True, kw_only=True)
class Same(Timing):
    """Whether the ``codes`` compute the same network. Gives error by the loop's name: the largest difference of its
    output from that of the first code in float32, relative to the output's rms."""

    network: str
    codes: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"whether {', '.join(self.codes)} compute the same network"

    @property
    def work(self) -> float:
        return 20.0 * len(self.codes)

    def measure(self, tick: Tick) -> Result:
        with threads(self.threads):
            outputs = {name: output() for name, (_, output) in loops(self.network, self.codes).items()}
        first = next(iter(outputs.values()))
        rms = first.square().mean().sqrt()
        return Result({"error": {name: float((out - first).abs().max() / rms) for name, out in outputs.items()}})


def loops(network: str, codes: Sequence[str]) -> dict[str, tuple[Callable[[], object], Callable[[], Tensor]]]:
    """By name, the step of each of ``codes`` in both arithmetics, and its network's output, with the same weights."""
    flags = flags_of(network)
    problem = Problem.of(int(flags["image_size"]))
    peers = {code: PEERS[code][2](flags, problem) for code in codes if code != OURS}
    state = random_state(next(iter(peers.values())).net.state_dict()) if peers else None
    for peer in peers.values():
        peer.net.load_state_dict(state or {}, strict=False)  # deepinv's has further tables
    found = {}
    for loop in [Loop(code, dtype) for code in codes for dtype in ("float32", "bfloat16")]:
        if loop.code == OURS:
            found[loop.name] = _ours(network, loop.dtype, state)
        else:
            found[loop.name] = _theirs(peers[loop.code], loop.dtype, problem)
    return found


def _ours(network: str, dtype: str, state: State | None) -> tuple[Callable[[], object], Callable[[], Tensor]]:
    """posteriori's step, and its network's output for ``_given``."""
    prior = random_prior(flags_of(network), getattr(torch, dtype), state=state)
    level = prior.schedule.level(_TIME)

    def output() -> Tensor:
        x = _given(prior.shape[-1])
        return (x - level.alpha * _denoised(x, level)) / level.sigma

    def _denoised(x: Tensor, level: Level) -> Tensor:
        with torch.no_grad():
            return prior.denoise(x, level).x0

    return dps(prior), output


def _theirs(peer: Peer, dtype: str, problem: Problem) -> tuple[Callable[[], object], Callable[[], Tensor]]:
    def cast() -> contextlib.AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16) if dtype == "bfloat16" else contextlib.nullcontext()

    def step() -> object:
        with cast():
            return peer.step()

    def output() -> Tensor:
        x = _given(problem.operator.shape[-1])
        with cast(), torch.no_grad():
            forward = getattr(peer.net, "forward_diffusion", peer.net)  # deepinv's name for it
            return forward(x, torch.tensor([_TIME - 1])).float()[:, :3]

    return step, output


#: the time, of 1000, at which outputs are compared; guided-diffusion counts from 0
_TIME = 500


def _given(size: int) -> Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))


@dataclass(frozen=True, kw_only=True)
class Memory(Timing):
    """The peak memory of a step of a loop in a new process, in MiB: in total, and beyond the loaded network.

    None where the system does not say (it is not Linux).
    """

    network: str
    loop: Loop

    @property
    def label(self) -> str:
        return f"memory of {self.loop.name} on {self.network}"

    @property
    def work(self) -> float:
        return 25.0

    def measure(self, tick: Tick) -> Result:
        if not _FORGET.exists():
            return Result({"peak": None, "beyond": None})
        tick(0.0, "in a process of its own")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            loaded, peak = process.submit(peak_of, self.network, self.loop, self.threads, sys.path).result()
        return Result({"peak": peak, "beyond": peak - loaded})


def peak_of(network: str, loop: Loop, n: int, path: list[str]) -> tuple[float, float]:
    """MiB in use before two steps, and their peak. ``path`` is ``sys.path`` with the peers."""
    sys.path[:] = path
    flags = flags_of(network)
    problem = Problem.of(int(flags["image_size"]))
    if loop.code == OURS:
        step, _ = _ours(network, loop.dtype, None)
    else:
        step, _ = _theirs(PEERS[loop.code][2](flags, problem), loop.dtype, problem)
    with threads(n):
        loaded = _resident("VmRSS")
        _FORGET.write_text("5")  # resets the peak to what is in use now
        for _ in range(2):
            step()
        return loaded, _resident("VmHWM")


def _resident(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text("utf-8"))
    assert found
    return int(found[1]) / 1024

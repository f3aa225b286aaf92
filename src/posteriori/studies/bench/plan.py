"""Which jobs the bench has, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from posteriori.studies.bench.clock import Timing
from posteriori.studies.bench.peers import PEERS, absent
from posteriori.studies.bench.quality import Case, cases
from posteriori.studies.bench.rate import Rate
from posteriori.studies.bench.scaling import Scaling
from posteriori.studies.bench.start import Start
from posteriori.studies.bench.steps import OURS, Loop, Memory, Same, Steps

PARTS = ("start", "steps", "scaling", "rate", "gpu", "quality")
#: rows of a network call on a GPU
ROWS = (1, 4, 16)


@dataclass(frozen=True)
class Plan:
    """``timings`` by their part, and the ``cases`` of time to quality; ``missing`` says why a peer is not timed."""

    timings: dict[str, list[Timing]]
    cases: list[Case]
    missing: dict[str, str]


def plan(
    threads: Sequence[int], pictures: Sequence[int], reference: Sequence[int], rounds: int, *, quick: bool
) -> Plan:
    """Times a step with each number of ``threads``, and time to quality on ``pictures`` of each of ``quality.PRIORS``
    against DPS in ``reference`` steps. ``quick`` takes tiny networks."""
    missing = {name: why for name in PEERS if (why := absent(name))}
    if quick:
        missing |= {name: "not with --quick" for name in PEERS if name == "deepinv" and name not in missing}
    codes = (OURS, *(name for name in PEERS if name not in missing))
    network, first = ("tiny", "tiny") if quick else ("ffhq-256", "faces-64")
    dtypes = ["bfloat16"] if quick else ["float32", "bfloat16"]
    found: dict[str, list[Timing]] = {part: [] for part in PARTS if part != "quality"}
    found["start"] = [Start(rounds=1 if quick else 3)]
    found["steps"] = [Steps(network=network, codes=codes, rounds=rounds, threads=n) for n in threads]
    found["steps"] += [Same(network=network, codes=codes)]
    found["steps"] += [Memory(network=network, loop=Loop(code, d)) for code in codes for d in dtypes]
    found["scaling"] = scaling(first, quick=quick, rounds=rounds)
    side = 128 if quick else 2048
    networks = [(network, 1)] if quick else [(network, 1), ("faces-64", 1), ("faces-64", 16)]
    found["rate"] = [
        Rate(network=name, dtype=dtype, batch=batch, side=side, rounds=rounds)
        for name, batch in networks
        for dtype in dtypes
    ]
    if torch.cuda.is_available():
        found["gpu"] = [
            Rate(network=network, dtype="bfloat16", batch=rows, device="cuda", side=8192, rounds=rounds)
            for rows in ROWS
        ]
    return Plan(found, cases(pictures, reference, quick=quick), missing)


def scaling(network: str, *, quick: bool, rounds: int) -> list[Timing]:
    few = (1, 2)
    found: list[Timing] = [
        Scaling(axis="batch", network=network, values=few if quick else (1, 2, 4, 8, 16), rounds=rounds),
        Scaling(axis="steps", network=network, values=few if quick else (1, 2, 5, 10, 20), rounds=rounds),
        Scaling(axis="pictures", network=network, values=few if quick else (4, 8, 16, 32), rounds=rounds),
    ]
    sizes = (32, 64) if quick else (64, 96, 128, 192, 256)
    return [*found, Scaling(axis="size", network="photo", values=sizes, rounds=rounds)]

"""How far a prior's samples are from real pictures, and whether they are copies of training pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from posteriori.images.pixels import from_bytes
from posteriori.images.sheets import sheet
from posteriori.metrics import kernel_distance, kernel_distance_interval, pooled_features
from posteriori.studies.evaluation.result import QUANTILE, Distance, Memorisation

#: pairs of a sample and its nearest training picture on the sheet
PAIRS = 10

#: gets the amount of work just done
Advance = Callable[[int], None]
#: starts a part of the work with a name and a total, and returns what gets its progress
Phase = Callable[[str, int], Advance]


def kernel_distances(samples: Tensor, held_out: Tensor, training: Tensor | None, *, seed: int) -> list[Distance]:
    """The distances of ``samples`` to held-out and training pictures, and between those two, which is the floor.

    ``held_out`` are features. ``training`` are uint8 pictures; as many are used as there are samples.
    """
    drawn = pooled_features(samples)
    pairs = {"samples, held-out": (drawn, held_out)}
    if training is not None:
        seen = pooled_features(from_bytes(training[: len(samples)]))
        pairs |= {"samples, training": (drawn, seen), "training, held-out (floor)": (seen, held_out)}
    return [
        Distance(name, len(x), len(y), kernel_distance(x, y), *kernel_distance_interval(x, y, seed=seed))
        for name, (x, y) in pairs.items()
    ]


def nearest(queries: Tensor, references: Tensor, tick: Advance) -> tuple[Tensor, Tensor]:
    """RMS distance of each query to the nearest reference or its mirror image, and which it is: (N,) each.

    ``queries`` is (N, 3, S, S) on [-1, 1], ``references`` (M, 3, S, S) uint8.
    """
    q = queries.flatten(1)
    least = torch.full((len(q),), math.inf)
    distance, which = least.clone(), torch.zeros(len(q), dtype=torch.long)
    for first in range(0, len(references), 256):
        block = from_bytes(references[first : first + 256])
        for r in (block.flatten(1), block.flip(-1).flatten(1)):
            found, at = (r.square().sum(1) - 2 * q @ r.T).min(1)  # |q - r|^2 less |q|^2
            closer = found < least
            least[closer], which[closer] = found[closer], first + at[closer]
            # computed again, since the difference above loses the digits of a small distance
            distance[closer] = (q[closer] - r[at[closer]]).square().mean(1).sqrt()
        tick(len(block))
    return distance, which


def memorisation(samples: Tensor, held_out: Tensor, training: Tensor, path: Path, phase: Phase) -> Memorisation:
    """The distances. Writes to ``path`` the samples nearest to training pictures, above those pictures."""
    queries = torch.cat([samples, from_bytes(held_out)])
    distance, which = nearest(queries, training, phase("nearest training pictures", len(training)))
    ours, theirs = distance.split([len(samples), len(held_out)])
    closest = ours.argsort()[:PAIRS]
    sheet(torch.cat([samples[closest], from_bytes(training[which[closest]])]), path, columns=len(closest))
    threshold = theirs.quantile(QUANTILE)
    return Memorisation(
        *(len(samples), len(held_out), len(training)),
        samples=ours.median().item(),
        held_out=theirs.median().item(),
        threshold=threshold.item(),
        nearer=(ours < threshold).float().mean().item(),
    )

"""How much memory a network call takes, and how many images go through it together."""

from __future__ import annotations

import math
import os
import re
import sys
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from posteriori.errors import PosterioriError
from posteriori.files import read_json, write_json
from posteriori.jobs.store import RESULTS
from posteriori.priors import tiled
from posteriori.priors.base import Prior
from posteriori.priors.unet import TILE

#: whether gradients are computed with less memory and more time: where there is too little of it, always, or never
Checkpointing = Literal["auto", "on", "off"]

#: the share of the free memory that a network call may fill
SHARE = 0.5
#: pixels a side of the smallest tiles, of which theirs are multiples
SMALLEST = 128
#: what libraries allocate inside operations, beside the tensors that are counted
LIBRARIES = 1.5
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?", re.IGNORECASE)
#: bytes of a pixel with its gradient that no usual network takes: FFHQ-256's in float32 takes 27,000
AMPLE = 64 * 1024


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    """The storages of the tensors in ``tree``; sparse ones have none of their own."""
    leaves = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
    return [leaf.untyped_storage() for leaf in leaves if leaf.layout == torch.strided]


class _Live(TorchDispatchMode):
    """Adds up the bytes of tensors made by operations, while somebody holds them; ``peak`` is the maximum."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {storage._cdata for storage in _storages((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for storage in _storages(out):
            self._count(storage, given)
        return out

    def _count(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key = storage._cdata
        if key in self.sizes or key in given:  # a view, or what was there before
            return
        self.sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key)

    def _freed(self, key: int) -> None:
        self.now -= self.sizes.pop(key, 0)


def most_bytes(work: Callable[[], object]) -> int:
    """The largest number of bytes of tensors that ``work`` makes and somebody holds at one time."""
    with _Live() as live:
        work()
    return live.peak


def memory_of_an_image(prior: Prior, *, gradient: bool) -> int:
    """The largest number of bytes that one image takes in a network call, with or without the gradient of its estimate.

    If the prior has a ``shadow``, tensors are counted without computing or allocating them. Allocations of libraries
    inside an operation are not counted.
    """
    shadow = prior.shadow()
    level = prior.schedule.level(prior.schedule.end / 2)
    x_t = torch.zeros(1, *shadow.shape, device=shadow.device)

    def call() -> None:
        if gradient:
            x0, vjp = shadow.linearise(x_t, level, clip=True)
            vjp(torch.ones_like(x0.x0))
        else:
            with torch.no_grad():
                shadow.denoise(x_t, level)

    return max(1, most_bytes(call)) * prior.together


def peak_memory(device: torch.device) -> int:
    """The largest number of bytes used so far: by the GPU's tensors, or by the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def read_size(text: str) -> int:
    """Bytes of "4GiB", "4G" or "500M"; PosterioriError, one line, for anything else."""
    found = _SIZE.fullmatch(text.strip())
    size = float(found[1]) * 2.0 ** {"k": 10, "m": 20, "g": 30, "t": 40}[found[2].lower()] if found else 0.0
    if not 0 < size < math.inf:
        raise PosterioriError(f"--max-memory is {text!r}: give a size like 4G or 500M")
    return int(size)


def tile_within(prior: Prior, limit: int, *, gradient: bool) -> int:
    """The side of the largest tiles that ``prior`` denoises in ``limit`` bytes, minus what the process already uses.

    PosterioriError if they would be too small to be useful.
    """
    used = peak_memory(prior.device)
    pixel = memory_of_an_image(prior.at(SMALLEST), gradient=gradient) / SMALLEST**2
    side = int(max(limit - used, 0) / (pixel * LIBRARIES)) ** 0.5
    side = int(side) // SMALLEST * SMALLEST
    if side < SMALLEST:
        least = used + pixel * LIBRARIES * SMALLEST**2
        raise PosterioriError(f"--max-memory is {gib(limit)}: {prior.name} needs {gib(least)} at least")
    return min(side, TILE)


def free_memory(device: torch.device) -> int:
    """Bytes that the device, or a system's main memory, can still provide."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def images_that_pay(prior: Prior) -> int:
    """How many images in a network call make it faster per image: a single large one fills the processor."""
    return tiled.images_that_pay(prior.device, prior.shape[-2], prior.shape[-1])


def room(
    prior: Prior,
    batch: int | None,
    *,
    gradient: bool,
    processes: int = 1,
    checkpointing: Checkpointing = "auto",
    say: Callable[[str], object] = lambda _: None,
) -> int:
    """How many images go through the network at once: ``batch``, or (None) as many as are useful and fit into memory.

    If a step with a ``gradient`` would not fit, ``prior`` recomputes activations in the backward pass from now on, and
    ``say`` is told in one line. ``processes`` share the machine's memory. The answer does not depend on timings, so
    that the same command takes the same batch. Raises MemoryError if a single image does not fit.
    """
    if batch and not gradient:
        return batch
    free, most = free_memory(prior.device) / processes, batch or images_that_pay(prior)
    if checkpointing != "on" and most * prior.shape[-2] * prior.shape[-1] * AMPLE <= SHARE * free:
        return most  # to count costs most of a second of a cold start
    one = memory_of_an_image(prior, gradient=gradient)
    again = gradient and (checkpointing == "on" or (checkpointing == "auto" and (batch or 1) * one > SHARE * free))
    if again and not prior.checkpointing and prior.save_memory():
        less = memory_of_an_image(prior, gradient=True)
        say(
            f"a gradient takes {gib(less)} an image instead of {gib(one)}, of {gib(free)} that are free: "
            "activations are computed again in the backward pass (--checkpointing)"
        )
        one = less
    if batch:
        return batch
    if one > free:
        size = f"{prior.shape[-1]} x {prior.shape[-2]}"
        raise MemoryError(
            f"one picture of {size} needs {gib(one)}, and {gib(free)} of memory are free: take a smaller prior, or "
            "fewer --jobs"
        )
    return max(1, min(images_that_pay(prior), int(SHARE * free / one)))


def kept_room(out: Path, prior: Prior, sha256: str, batch: int | None, **asked: Any) -> tuple[int, Callable[[], None]]:
    """``room``, or the batch with which ``out`` was begun for this prior, since results there were made with it.

    Also returns a function that records it in ``out``, to be called before the first result is written.
    """
    path, identity = out / RESULTS / ".batch.json", {"prior": sha256, "shape": list(prior.shape)}
    found = read_json(path) if path.is_file() else {}
    kept = found.get("batch") if found.get("for") == identity else None
    if type(kept) is not int or kept < 1:
        kept = None
    together = room(prior, batch or kept, **asked)

    @cache
    def note() -> None:
        if not batch and not kept:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json({"for": identity, "batch": together}, path)

    return together, note


def gib(size: float) -> str:
    """``size`` in bytes, for people."""
    return f"{size / 2**30:.2g} GiB"

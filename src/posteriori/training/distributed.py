"""Trains one network in several processes: each takes its rows of every batch, and gradients are averaged."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.hub.load import read_device


@dataclass(frozen=True)
class Ranks:
    """This process, ``rank`` of 0..count - 1, among those that train together.

    ``mean``, ``mean_`` and ``any`` are called by all of them in the same order, and wait for the slowest.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch. Raises PosterioriError if the shares are not equal."""
        if batch_size % self.count:
            raise PosterioriError(
                f"batch_size is {batch_size}, which {self.count} processes cannot share equally: "
                f"give a multiple of {self.count}"
            )
        return slice(self.rank, None, self.count)

    def mean(self, value: float) -> float:
        """The mean of every process's ``value``."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return total.item() / self.count

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in one of the processes."""
        return self.mean(float(flag)) > 0

    def mean_(self, tensors: Iterable[Tensor]) -> None:
        """Replaces every tensor by its mean over the processes, with the same bits in each process."""
        if self.count == 1:
            return
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view(tensor.shape))


#: a process that waits for nobody
ALONE = Ranks()


@contextmanager
def joined(device: str) -> Generator[tuple[Ranks, str]]:
    """The processes that torchrun started, and this one's device; for "cuda" each has its own GPU.

    ``ALONE`` on ``device`` if torchrun started no more than one. Raises PosterioriError if there are fewer GPUs than
    processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE, str(read_device(device))
        return
    device = read_device(device).type if device == "auto" else device
    if device not in ("cpu", "cuda"):
        raise PosterioriError(f"device is {device!r}: for several processes give cpu or cuda, a GPU for each")
    if device == "cuda":
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise PosterioriError(f"{here} processes were started for {gpus} GPUs: start one for each")
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    # Loss and stop requests are on the CPU and go through gloo, so that they wait for no GPU. The other ranks wait
    # while rank 0 evaluates, however long; torchrun ends them if it dies.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device != "cpu" else "gloo", timeout=timedelta(days=1))
    try:
        ranks = Ranks(dist.get_rank(), dist.get_world_size())
        yield ranks, device
        ranks.any(False)  # NCCL wants all to leave at about the same time
    finally:
        dist.destroy_process_group()

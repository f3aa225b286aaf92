"""What goes wrong through no fault of a job: full disks, full memories, processes that die or take too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Fault(Exception):
    """Raised by a job that fails alone: the others go on. ``kind`` is a word or two, by which faults are counted."""

    def __init__(self, kind: str, text: str):
        super().__init__(kind, text)
        self.kind, self.text = kind, text

    def __str__(self) -> str:
        return self.text


class JobsFailed(OSError):
    """Jobs that a fault kept from their end, where others went on: the same command tries these again."""

    def __init__(self, faults: Sequence[str]):
        more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
        super().__init__(f"{faults[0]}{more}: what was finished is kept; run the same command again to try once more")


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that no memory is left: by its type, but for torch on a CPU, which has none for this."""
    import torch  # here, so that a process that needs none begins sooner

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)


class Halving:
    """Does work with at most ``rows`` at once; where memory runs out, again with half as many, from then on.

    ``say`` is told of it in one line.
    """

    def __init__(self, rows: int, say: Callable[[str], object] = lambda _: None):
        self.rows, self.say = rows, say

    def __call__(self, work: Callable[[int], T], count: int) -> T:
        """``work(rows)`` of ``count`` rows in all. Raises MemoryError where one is too many."""
        while True:
            tried = min(self.rows, count)
            try:
                return work(tried)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
            # outside of the handler, which holds what the work had allocated
            if tried == 1:
                raise MemoryError(
                    "out of memory with one image at once: give fewer --samples, a smaller picture or a smaller prior"
                )
            self.rows = tried // 2
            self.say(f"out of memory with {tried} images at once: going on with {self.rows}")

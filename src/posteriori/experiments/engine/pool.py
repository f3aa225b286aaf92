"""Work shared among processes, none of which outlives the one that began them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any, TypeVar

T = TypeVar("T")


def share(
    work: Callable[[T], None],
    tasks: Sequence[T],
    jobs: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
    began: Callable[[T], None],
    finished: Callable[[T], None],
) -> None:
    """Has ``jobs`` processes, each prepared by ``start(*arguments)``, call ``work(task)`` for all ``tasks``, in order.

    ``began`` and ``finished`` are told here. The first error is raised here, and what has not begun is dropped.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare, (os.getpid(), start, arguments)) as pool:
        queue, running = list(tasks), {}
        try:
            while queue or running:
                while queue and len(running) < jobs:
                    task = queue.pop(0)
                    running[pool.submit(work, task)] = task
                    began(task)
                for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                    future.result()
                    finished(running.pop(future))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _prepare(parent: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    def leave_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)  # a killed parent cannot say so, and nobody would read the results

    threading.Thread(target=leave_with_parent, daemon=True).start()
    start(*arguments)

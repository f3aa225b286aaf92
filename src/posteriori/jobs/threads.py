"""The CPU threads of a process that is ours alone: set before torch is imported, which reads them then."""

from __future__ import annotations

import math
import os
from pathlib import Path

#: what OpenMP's two runtimes read of how a thread waits (GNU's, which torch has on Linux, and LLVM's)
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
#: as the user has it, before a process of ours sets it
GIVEN = os.environ.get("OMP_NUM_THREADS")


def settle(threads: int | None = None) -> None:
    """Has this process, and those it begins, wait asleep for one another's work, with ``threads`` at most.

    OpenMP's threads spin by default: beside one busy process, whoever waits burns the time of whoever is waited for.
    ``threads`` is by default what the system grants this process. What the user has set in the environment stays.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if GIVEN is None and (threads or granted() < processors()):  # else the runtime's own choice: one a core
        os.environ["OMP_NUM_THREADS"] = str(threads or granted())


def share(processes: int) -> int | None:
    """The threads of each of ``processes`` that share the processors; None where the user has said how many."""
    return max(1, granted() // processes) if GIVEN is None else None


def processors() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def granted(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """``processors()``, or fewer where a container's quota allows less of their time (cgroups, version 2 or 1)."""
    try:
        if (groups / "cpu.max").is_file():
            quota, period = (groups / "cpu.max").read_text().split()
        else:
            quota, period = ((groups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        allowed = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no groups, no quota ("max"), or no permission
        return processors()
    return min(processors(), allowed) if allowed > 0 else processors()

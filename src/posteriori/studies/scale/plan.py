"""Extrapolates one machine's rates to a million pictures by ten methods: time, storage and failures."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from statistics import median
from typing import Any

from posteriori.studies.guide.cells import filled
from posteriori.studies.table import Table

Found = Mapping[str, Any]

PICTURES, BATCH = 1_000_000, 16
#: days that a worker lives (not measured): preemptible machines last about a day
LIVES = 1.0
#: the assumed speed of a GPU relative to this core: none was measured
FAST = 100
#: workers: what they are, their relative speed, and their batch size
WORKERS = (("this core", 1, BATCH), ("this core", 1, 1), (f"{FAST} times as fast (assumed)", FAST, BATCH))
_YEAR, _DAY, _HOUR = 365.25 * 86400, 86400, 3600


def sections(found: Found) -> dict[str, str]:
    """The figures of docs/scale.md, by their marks there."""
    made = {
        "efficiency": (_efficiency, ("efficiency",)),
        "overhead": (_overhead, ("overhead",)),
        "plan": (_plan, ("overhead", "storage", "rates")),
    }
    return {mark: write(found) for mark, (write, needs) in made.items() if all(need in found for need in needs)}


def _efficiency(found: Found) -> str:
    own = found["efficiency"]
    pairs, (one, two) = own["seconds"], own["first"]
    each = [a / b / 2 for a, b in pairs]
    shared = (
        f"""Other processes were running (load {own["load"]:.0f}), so that these ratios say little about two free
    cores."""
        if own["load"] >= 1
        else ""
    )
    return filled(f"""
    Two workers have a parallel efficiency of **{median(each):.2f}** ({min(each):.2f} to {max(each):.2f}):
    {median(a for a, _ in pairs):.1f} s with one worker, {median(b for _, b in pairs):.1f} s with two. This is the
    median of {len(pairs)} alternating rounds of {own["batches"]} batches (DPS with `faces-64`, four pictures a batch,
    one thread a worker). The two workers were computing for {median(own["busy"]):.1%} of the time. The rest is the
    overhead of Ray and the command. {shared}

    Ray took {own["ray"]:.1f} s to start. The first {own["batches"]} batches, for which each worker also has to start,
    import torch and load the prior, took {one:.1f} s with one worker and {two:.1f} s with two: an efficiency of
    {one / two / 2:.2f}.
    """)


def _overhead(found: Found) -> str:
    own = found["overhead"]
    first, half, last = (own["driver_mib"][i] for i in (0, len(own["driver_mib"]) // 2, -1))
    return filled(f"""
    The overhead of a batch is {own["ms"]:.1f} ms with two Ray workers, and {own["ms_with_store"]:.1f} ms if its result
    is written to disk ({own["ms_here_with_store"]:.1f} ms in one process, without Ray). It was measured on 20,000 empty
    batches. Over them the command's memory grew by {last - first:.1f} MiB, and by {last - half:.1f} MiB in the second
    half.
    """)


def _plan(found: Found) -> str:
    overhead, storage, rates = (found[name] for name in ("overhead", "storage", "rates"))
    seconds = {
        text: (calls - gradients) * rates["call"] + gradients * rates["gradient"]
        for text, (calls, gradients) in rates["methods"].items()
    }
    rows = [
        (f"`{text}`", str(calls), str(gradients), f"{seconds[text]:,.0f}", f"{PICTURES * seconds[text] / _YEAR:,.0f}")
        for text, (calls, gradients) in rates["methods"].items()
    ]
    work, done = PICTURES * sum(seconds.values()), PICTURES * len(rows)
    rows.append(("all", "", "", f"{work / PICTURES:,.0f}", f"**{work / _YEAR:,.0f}**"))
    columns = ("method", "calls", "with a gradient", "seconds a picture", "core-years")
    jobs, read = done / BATCH, done * storage["pictures"]["read_ms"] / 1000
    kept, bare = (done * storage[name]["bytes"] for name in ("pictures", "metrics"))
    hashed = PICTURES * storage["picture_ms"] / 1000
    handed = jobs * overhead["ms_with_store"] / 1000
    items = [
        (hashed, "reads and hashes the pictures, at every start"),
        (read, "checks existing results, at a start when all exist"),
        (read, "reads all results, at the end"),
        (jobs * storage["key_ms"] / 1000, "hashes the batches' settings"),
        (handed, "assigns the batches, while workers compute"),
    ]
    alone = Table("", "", ("hours", "what the command does"), [(f"{s / _HOUR:.2g}", what) for s, what in items])
    each = work / done
    workers = [_worker(each * size / speed, done / size, what) for what, speed, size in WORKERS]
    start = hashed + read
    return "\n\n".join(
        (
            filled(f"""
    **Computation.** A call of the FFHQ-256 network takes {rates["call"]:.2f} s in {rates["dtype"]} on one core of this
    machine, and {rates["gradient"]:.2f} s with a gradient. The numbers of calls are counted, not taken from the papers.
    For another processor, scale by the time of its call.
    """),
            Table("", "", columns, rows).markdown(),
            filled(f"""
    **Storage.** {done / 1e6:.0f} million restorations are {jobs:,.0f} batches of {BATCH}, with one file each. They take
    {kept / 1e12:.1f} TB with pictures and {bare / 1e9:.0f} GB with `--metrics-only`. results.parquet takes
    {done * storage["parquet_bytes"] / 1e9:.1f} GB.

    **The command** is one process. Its list of batches takes {jobs * storage["job_bytes"] / 2**30:.1f} GiB of memory.
    Its list of pictures takes {PICTURES * storage["shelf_bytes"] / 2**30:.1f} GiB, and every worker has a copy. The
    command spends the following hours itself, with files on a local disk. In a bucket each of the {jobs:,.0f} files
    adds a request's latency, once at a resumed start and once at the end.
    """),
            alone.markdown(),
            filled(f"""
    **Failures.** Assume that a worker lives for {LIVES:g} day on average, as preemptible machines may. A lost worker
    costs half a batch on average. A batch that is lost three times is skipped until the command runs again.
    """),
            Table(
                "", "", ("worker", "worker-years", "time per batch", "work repeated", "batches skipped"), workers
            ).markdown(),
            filled(f"""
    Batches must be short compared with a worker's life. If they are not, give a smaller `--batch`.

    **What breaks first?** The start. One process reads all pictures and existing results in sequence, so that up to
    {start / _HOUR:.1f} hours pass before the first batch, at every start. Next is the folder of {jobs:,.0f} files.
    Assigning batches is no limit: one command can feed {each * BATCH * jobs / handed / FAST:,.0f} workers that are
    {FAST} times as fast as this core. We would split the pictures into a hundred parts, each with its own `--out`. A
    start then takes up to {start / 100 / 60:.0f} minutes, an interruption affects one part, and the Parquet files can
    be read as one data set.
    """),
        )
    )


def _worker(batch: float, jobs: float, what: str) -> tuple[str, ...]:
    """A row on a worker that takes ``batch`` seconds for each of the ``jobs``."""
    odds = 1 - exp(-batch / _DAY / LIVES)
    length = f"{batch / _HOUR:.1f} h" if batch > _HOUR else f"{batch / 60:.0f} min"
    return what, f"{batch * jobs / _YEAR:,.1f}", length, f"{odds / 2:.1%}", f"{jobs * odds**3:,.0f} of {jobs:,.0f}"

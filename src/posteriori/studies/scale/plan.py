"""What one machine's rates say of a million pictures by ten methods: what it costs, keeps and breaks."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp
from statistics import median
from typing import Any

from posteriori.studies.guide.cells import filled
from posteriori.studies.table import Table

Found = Mapping[str, Any]

PICTURES, BATCH = 1_000_000, 16
#: days for which a worker lives, of which nothing was measured: preemptible machines are given for about a day
LIVES = 1.0
#: how many times as fast as this core a GPU is taken to be: none was measured here
FAST = 100
#: what works, how many times as fast, and in batches of how many
WORKERS = (("this core", 1, BATCH), ("this core", 1, 1), (f"{FAST} times as fast, which is assumed", FAST, BATCH))
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
        f"""Other processes wanted the processors meanwhile (load {own["load"]:.0f}), so that these ratios say little
    of two free cores."""
        if own["load"] >= 1
        else ""
    )
    return filled(f"""
    Two workers against one, with one thread each, in {len(pairs)} alternating rounds of {own["batches"]} batches (DPS
    with `faces-64`, four pictures a batch): **{median(each):.2f}** efficient ({min(each):.2f} to {max(each):.2f}),
    {median(a for a, _ in pairs):.1f} s against {median(b for _, b in pairs):.1f} s. The two workers were at a batch
    for {median(own["busy"]):.1%} of their time, which is what Ray and the command leave. {shared}

    Start-up: Ray took {own["ray"]:.1f} s to begin. The first {own["batches"]} batches took {one:.1f} s by one worker
    and {two:.1f} s by two, which begin, import torch and load the prior at the same time: {one / two / 2:.2f} efficient
    with start-up.
    """)


def _overhead(found: Found) -> str:
    own = found["overhead"]
    first, half, last = (own["driver_mib"][i] for i in (0, len(own["driver_mib"]) // 2, -1))
    return filled(f"""
    A batch of no work by two Ray workers takes {own["ms"]:.1f} ms, and {own["ms_with_store"]:.1f} ms with its result on
    disk ({own["ms_here_with_store"]:.1f} ms in one process, without Ray). Over 20,000 of them the command's memory grew
    by {last - first:.1f} MiB, in the second half by {last - half:.1f}.
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
        (hashed, "reading and hashing the pictures, at every start"),
        (read, "looking for what is there, at a start when all of it is"),
        (read, "reading all results at the end"),
        (jobs * storage["key_ms"] / 1000, "naming the batches"),
        (handed, "handing out the batches, while they are done"),
    ]
    alone = Table("", "", ("hours", "of the command"), [(f"{s / _HOUR:.2g}", what) for s, what in items])
    each = work / done
    workers = [_worker(each * size / speed, done / size, what) for what, speed, size in WORKERS]
    start = hashed + read
    return "\n\n".join(
        (
            filled(f"""
    **Cost.** One core of this machine takes {rates["call"]:.2f} s for a network call of FFHQ-256's in
    {rates["dtype"]}, and {rates["gradient"]:.2f} s with a gradient. Calls are counted. Another processor's years are
    these, by the ratio of its call to this one's.
    """),
            Table("", "", columns, rows).markdown(),
            filled(f"""
    **Storage.** {done / 1e6:.0f} million restorations are {jobs:,.0f} batches of {BATCH}, a file each. With pictures
    they take {kept / 1e12:.1f} TB, with `--metrics-only` {bare / 1e9:.0f} GB. results.parquet takes
    {done * storage["parquet_bytes"] / 1e9:.1f} GB.

    **The command itself** is one process. Its list of batches takes {jobs * storage["job_bytes"] / 2**30:.1f} GiB. That
    of pictures takes {PICTURES * storage["shelf_bytes"] / 2**30:.1f} GiB, and every worker has a copy. These hours are
    its own, with files on a local disk. A bucket adds its latency, to each of {jobs:,.0f} files when they are looked
    for, and again at the end.
    """),
            alone.markdown(),
            filled(f"""
    **Failures.** Assume that a worker lives for {LIVES:g} day, as preemptible machines may. A lost worker repeats half
    a batch on average. A batch that is lost three times is left out until the command runs again.
    """),
            Table("", "", ("worker", "years", "a batch", "repeated", "left out"), workers).markdown(),
            filled(f"""
    So a batch has to be short beside the life of a worker: give a smaller `--batch` where it is not.

    **Where it breaks first.** At the start: up to {start / _HOUR:.1f} hours pass before the first batch, and again
    after each stop, for one process reads the pictures and what is there, one after the other. Next is the folder of
    {jobs:,.0f} files. Handing out is not the limit: one command feeds {each * BATCH * jobs / handed / FAST:,.0f}
    workers that are {FAST} times as fast as this core. We would split the pictures into a hundred parts, with an
    `--out` each. A start then takes up to {start / 100 / 60:.0f} minutes, a stop costs one part, and the Parquet files
    are read together as one data set.
    """),
        )
    )


def _worker(batch: float, jobs: float, what: str) -> tuple[str, ...]:
    """A row on a worker that takes ``batch`` seconds for each of the ``jobs``."""
    odds = 1 - exp(-batch / _DAY / LIVES)
    length = f"{batch / _HOUR:.1f} h" if batch > _HOUR else f"{batch / 60:.0f} min"
    return what, f"{batch * jobs / _YEAR:,.1f}", length, f"{odds / 2:.1%}", f"{jobs * odds**3:,.0f} of {jobs:,.0f}"

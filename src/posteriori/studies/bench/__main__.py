"""Times the package on this machine and writes results.md and results.json into a folder. Resumes after a stop.

python -m posteriori.studies.bench --page benches --out out/bench --data DATA [--official CLONE] [--site DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posteriori.errors import PosterioriError
from posteriori.jobs.executor import Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.lock import claimed_folder
from posteriori.jobs.progress import shown
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import RESULTS, Result, Store
from posteriori.studies.bench import quality
from posteriori.studies.bench.clock import Timing
from posteriori.studies.bench.page import write
from posteriori.studies.bench.peers import find
from posteriori.studies.bench.plan import PARTS, plan
from posteriori.studies.guide import cells


@dataclass(frozen=True)
class Measure:
    """Runs a timing job."""

    def __call__(self, job: Timing, tick: Tick) -> Result:
        return job.measure(tick)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the measurements")
    parser.add_argument("--page", type=Path, required=True, help="folder that gets results.md and results.json")
    parser.add_argument("--data", type=Path, help="folder of held-out pictures, for time to quality")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="what to measure now (default: all)")
    parser.add_argument("--official", type=Path, help="clone of github.com/DPS2022/diffusion-posterior-sampling")
    parser.add_argument("--site", type=Path, help="folder of packages: azula, deepinv and what they import")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="torch's threads for timing a step")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of a timing, which is their median")
    parser.add_argument("--pictures", type=int, nargs=2, default=[8, 3], help="faces and photographs for quality")
    parser.add_argument("--reference", type=int, nargs=2, default=[1000, 1000], help="DPS's steps on each, for quality")
    parser.add_argument("--note", default="", help="a remark for the page, e.g. that the machine was shared")
    parser.add_argument("--quick", action="store_true", help="tiny networks and few steps, to try the bench itself")
    return parser


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments()
    asked = parser.parse_args(given)
    if "quality" in asked.part and asked.data is None:
        parser.error("time to quality needs held-out pictures: give --data, or --part without quality")
    try:
        find(asked.official, asked.site)
    except PosterioriError as error:
        parser.error(str(error))
    planned = plan(asked.threads, asked.pictures, asked.reference, asked.rounds, quick=asked.quick)
    with claimed_folder(asked.out):
        results = asked.out / RESULTS
        store = Store(results, print)
        jobs = [job for part in asked.part if part != "quality" for job in planned.timings[part]]
        left = missing(jobs, store)
        with shown("timing", {job.key: job.work for job in left}) as report:
            run(left, Measure(), store, Serial(), report, place=results)
        if "quality" in asked.part:
            for case in planned.cases:
                while own := quality.cells(case, results):
                    cells.do(own, asked.data, results, 1)
        asked.page.mkdir(parents=True, exist_ok=True)
        write(planned, results, asked.page, asked.note)
    print(f"{asked.page / 'results.md'} and results.json")


if __name__ == "__main__":
    main()

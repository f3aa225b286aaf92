"""Searches the settings of presets.toml on the first 32 held-out faces and prints a table.

python benches/presets.py --data DATA --out out/presets --images 32 --steps 250 --only dps/inpainting
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from heldout import CHOOSING, held_out_faces, run
from posteriori.experiments.report import tasks
from posteriori.priors.load import load_prior
from posteriori.sampler import Sampler
from posteriori.samplers import DPS, AnnealedLangevin, ScoreALD

GRIDS: dict[str, list[Sampler]] = {
    "dps": [DPS(scale=scale) for scale in (0.5, 0.7, 1.0, 1.4)],
    "chung": [DPS(scale=scale, normalise=False) for scale in (1.0, 2.0, 3.0, 4.5)],
    "scoreald": [ScoreALD(lambda_T=a, lambda_0=b) for a, b in ((1.0, 1.5), (2.0, 3.0), (4.0, 6.0), (10.0, 15.0))],
    "langevin": [AnnealedLangevin(step_size=s, gamma=g) for s in (0.05, 0.1) for g in (0.3, 1.0)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prior", default="faces-64")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--only", nargs="*", help="grid/task, e.g. dps/inpainting")
    args = parser.parse_args()
    prior = load_prior(args.prior)
    truth = held_out_faces(args.data, CHOOSING, prior.shape[-1])[: args.images]
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "presets.csv").open("a", newline="") as file:
        log = csv.writer(file)
        for task in tasks(prior.shape):
            for grid, samplers in GRIDS.items():
                if args.only and f"{grid}/{task.name}" not in args.only:
                    continue
                for sampler in samplers:
                    scores, _ = run(prior, task.operator, sampler.with_steps(args.steps), truth)
                    figures = [float(f.mean()) for f in (scores.psnr, scores.lpips, scores.residual, scores.hole)] + [
                        scores.seconds
                    ]
                    row = [
                        args.prior,
                        args.images,
                        args.steps,
                        task.name,
                        grid,
                        sampler,
                        *(f"{f:.4g}" for f in figures),
                    ]
                    log.writerow(row)
                    file.flush()
                    print(*row, flush=True)


if __name__ == "__main__":
    main()

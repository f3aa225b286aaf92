"""Searches the settings of presets.toml on the first 32 held-out faces and prints them:
prior, images, steps, task, sampler, PSNR, LPIPS, residual / (sigma sqrt m), PSNR in the hole, seconds.

python benches/presets.py --data DATA --out out/presets --images 32 --steps 250 --tasks inpainting
"""

from __future__ import annotations

import csv

from heldout import CHOOSING, arguments, held_out_faces, run
from posteriori.experiments.report import tasks
from posteriori.priors.load import load_prior
from posteriori.sampler import Sampler
from posteriori.samplers import DPS, AnnealedLangevin, ScoreALD

#: what a coarse search on 8 of the faces (factors of 1.4 to 2 over a decade) left to decide
GRIDS: dict[str, list[Sampler]] = {
    "inpainting": [
        *(DPS(scale=scale) for scale in (0.7, 0.8)),
        *(DPS(scale=scale, normalise=False) for scale in (1.0, 1.5)),
        ScoreALD(lambda_T=0.8, lambda_0=1.2),
        AnnealedLangevin(step_size=0.1, gamma=0.3),
    ],
    "deconvolution": [
        *(DPS(scale=scale) for scale in (1.0, 1.4)),
        DPS(scale=3.0, normalise=False),
        *(ScoreALD(lambda_T=a, lambda_0=b) for a, b in ((2.0, 3.0), (3.0, 4.5))),
        AnnealedLangevin(step_size=0.1, gamma=0.3),
    ],
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--tasks", nargs="*", default=list(GRIDS), choices=list(GRIDS))
    args = parser.parse_args()
    prior = load_prior(args.prior)
    truth = held_out_faces(args.data, CHOOSING, prior.shape[-1])[: args.images]
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "presets.csv").open("a", newline="") as file:
        log = csv.writer(file)
        for task in tasks(prior.shape):
            if task.name not in args.tasks:
                continue
            for sampler in (s.with_steps(args.steps) for s in GRIDS[task.name]):
                scores, _ = run(prior, task.operator, sampler, truth)
                means = [float(f.mean()) for f in (scores.psnr, scores.lpips, scores.residual, scores.hole)]
                figures = [f"{value:.4g}" for value in (*means, scores.seconds)]
                row = [args.prior, args.images, args.steps, task.name, sampler, *figures]
                log.writerow(row)
                file.flush()
                print(*row, flush=True)


if __name__ == "__main__":
    main()

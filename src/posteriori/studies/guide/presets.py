"""Tries settings for presets.toml on pictures that are kept for choosing, and prints for each: prior, pictures,
size, steps, noise, operator, sampler, PSNR, LPIPS, residual / (sigma sqrt m), PSNR in the hole, seconds.

python -m posteriori.studies.guide.presets --data DATA --out out/presets --images 32 --steps 250 \
    --operators box-mask 'gaussian-blur(sigma=1.5)' --samplers 'dps(scale=0.7)' 'dps(scale=1.0)'

Faces: the first 32 held out. Photographs (--prior photo --size 128): centre crops of the 20 held out.
"""

from __future__ import annotations

import csv

from posteriori.hub.load import load_prior
from posteriori.settings.noise import parse_noise
from posteriori.settings.text import parse_operator, read_sampler
from posteriori.studies.guide.heldout import CHOOSING, arguments, held_out, run
from posteriori.studies.tasks import SIGMA_Y


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size", type=int, help="pixels, if the prior takes any size")
    parser.add_argument("--noise", type=parse_noise, default=SIGMA_Y, help="sigma on [-1, 1], like 0.05, or 10/255")
    parser.add_argument("--operators", nargs="+", required=True)
    parser.add_argument("--samplers", nargs="+", required=True)
    args = parser.parse_args()
    network = load_prior(args.prior)
    prior = network.at(args.size) if args.size else network
    truth = held_out(network.name, args.data, CHOOSING, prior.shape[-1])[: args.images]
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "presets.csv").open("a", newline="") as file:
        log = csv.writer(file)
        for text in args.operators:
            operator = parse_operator(text, prior.shape)
            for spec in args.samplers:
                sampler = read_sampler(spec).build().with_steps(args.steps)
                scores, _ = run(prior, operator, sampler, truth, sigma=args.noise)
                means = [float(f.mean()) for f in (scores.psnr, scores.lpips, scores.residual, scores.hole)]
                numbers = [f"{value:.4g}" for value in (*means, scores.seconds)]
                row = [args.prior, len(truth), prior.shape[-1], args.steps, args.noise, text, spec, *numbers]
                log.writerow(row)
                file.flush()
                print(*row, flush=True)


if __name__ == "__main__":
    main()

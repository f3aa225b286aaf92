"""The report's three methods on the last 64 held-out faces, with 95% paired intervals, as a Markdown table.

    python benches/faces.py --data DATA --out out/faces

Settings are those of presets.toml, which were chosen on the first 32 held-out faces.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from heldout import REPORTED, Scores, arguments, held_out_faces, run, score
from posteriori.hub.load import load_prior
from posteriori.images.sheets import sheet
from posteriori.likelihoods import Gaussian
from posteriori.operators import BoxMask
from posteriori.priors.base import Prior
from posteriori.sampler import Sampler
from posteriori.samplers import DPS, AnnealedLangevin, ScoreALD, SDEdit
from posteriori.settings.presets import resolve
from posteriori.studies.tasks import SIGMA_Y, Task, tasks

#: two-sided 97.5% point of Student's t with 63 degrees of freedom
T_63 = 1.9983


METHODS = ["SDEdit", "ScoreALD", "DPS", "DPS, Chung", "annealed Langevin"]


def of_name(name: str, task: Task, prior: Prior, steps: int) -> Sampler:
    """The method with its preset, or its paper's settings."""
    sampler, given = {
        "SDEdit": (SDEdit, {}),
        "ScoreALD": (ScoreALD, {}),
        "DPS": (DPS, {}),
        "DPS, Chung": (DPS, {"gradient": "norm"}),
        "annealed Langevin": (AnnealedLangevin, {}),
    }[name]
    return resolve(sampler, task.operator, prior, steps=steps, sigma=SIGMA_Y, **given).sampler


def surroundings(operator: BoxMask, y: Tensor, ring: int = 4) -> Tensor:
    """The hole filled with the mean colour of the ``ring`` pixels around it."""
    hidden = ~operator.keep
    grown = torch.nn.functional.max_pool2d(hidden[None].float(), 2 * ring + 1, 1, ring)[0].bool()
    border = grown & operator.keep
    means = torch.stack([y[:, c, border[c]].mean(1) for c in range(y.shape[1])], 1)
    return torch.where(hidden, means[..., None, None], y)


def interval(difference: np.ndarray) -> str:
    half = T_63 * difference.std(ddof=1) / len(difference) ** 0.5
    return f"{difference.mean():+.2f} [{difference.mean() - half:+.2f}, {difference.mean() + half:+.2f}]"


def line(name: str, s: Scores) -> str:
    hole = "" if np.isnan(s.hole).all() else f"{s.hole.mean():.2f}"
    return (
        f"| {name} | {s.psnr.mean():.2f} | {s.lpips.mean():.4f} | {hole} | {s.residual.mean():.3f} | {s.seconds:.0f} |"
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tasks", nargs="*", default=["inpainting", "deconvolution"])
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    args = parser.parse_args()
    prior = load_prior(args.prior)
    truth = held_out_faces(args.data, REPORTED, prior.shape[-1])
    args.out.mkdir(parents=True, exist_ok=True)
    report = []

    def say(text: str) -> None:
        print(text, flush=True)
        report.append(text)

    for task in tasks(prior.shape):
        if task.name not in args.tasks:
            continue
        say(f"\n### {task.label}, {len(truth)} faces, {args.steps} steps\n")
        say(
            "| method | PSNR (dB) | LPIPS | PSNR in the hole | residual / (sigma sqrt m) | seconds |\n"
            "|---|---|---|---|---|---|"
        )
        y = Gaussian.simulate(truth, task.operator, SIGMA_Y).y
        results = {"measurement": score(task.operator, y, y, truth)}
        if isinstance(task.operator, BoxMask):
            filled = surroundings(task.operator, y)
            results["mean of the surroundings"] = score(task.operator, y, filled, truth)
        for name, scores in results.items():
            say(line(name, scores))
        for name in args.methods:
            sampler = of_name(name, task, prior, args.steps)
            results[name], x = run(prior, task.operator, sampler, truth)
            say(line(name, results[name]))
            sheet(x, args.out / f"{task.name}-{sampler.name}{'-chung' if 'Chung' in name else ''}.png")
        say("")
        for name, other in results.items():
            if name != "DPS" and "DPS" in results:
                gain = interval(results["DPS"].psnr - other.psnr)
                perceptual = 1000 * (results["DPS"].lpips - other.lpips)
                say(f"- DPS against {name}: PSNR {gain} dB, LPIPS {interval(perceptual)} thousandths")
        if {"DPS", "mean of the surroundings"} <= set(results):
            gain = interval(results["DPS"].hole - results["mean of the surroundings"].hole)
            say(f"- DPS against the mean of the surroundings, in the hole: PSNR {gain} dB")
    (args.out / f"{'-'.join(args.tasks)}.md").write_text("\n".join(report) + "\n")


if __name__ == "__main__":
    main()

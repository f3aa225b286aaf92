"""Draws the figures of docs/concepts/ and docs/photo.png from bundled pictures: python docs/figures.py, two minutes."""

from pathlib import Path

import torch

import posteriori as pp
from posteriori.images.sheets import sheet
from posteriori.observers import Trajectory
from posteriori.operators.base import Operator
from posteriori.sampler import Sampler

HERE = Path(__file__).parent / "concepts"
SIGMA = 0.05
FAMILIES = {
    "starting point": (pp.SDEdit, {}),
    "guided": (pp.DPS, {}),
    "guided, covariance": (pp.PiGDM, {}),
    "data consistency": (pp.DiffPIR, {}),
    "decoupled": (pp.DAPS, {}),
    "variational": (pp.REDDiff, {}),
    "plug and play": (pp.DPIR, {}),
    "split Gibbs": (pp.PnPDM, {}),
}


def main() -> None:
    prior = pp.load_prior("faces-64", dtype="float32")
    x = pp.load_image("astronaut", size=64)
    blur = pp.GaussianBlur(prior.shape, sigma=1.5)
    loop(prior, x, blur)
    noise(prior, x)
    families(prior, x, blur)
    photograph()


def loop(prior, x: torch.Tensor, operator: Operator) -> None:
    """x_t, x0hat and |y - A(x0hat)|, as a picture of its absolute value, along DPS."""
    likelihood = pp.Gaussian.simulate(x, operator, sigma=SIGMA)
    sampler = pp.preset(pp.DPS, operator, prior, steps=100, sigma=SIGMA)
    seen = Trajectory()
    pp.sample(prior, likelihood, sampler, seed=0, callbacks=[seen], progress=False)
    shown = [0, 30, 60, 80, 90, 98]
    rows = [
        [seen.x[i] for i in shown],
        [seen.x0[i] for i in shown],
        [4 * (likelihood.y - operator(seen.x0[i])).abs() - 1 for i in shown],
    ]
    names = [f"{what}, t = {seen.levels[i].t:.0f}" for what in ("x_t", "x0hat", "residual") for i in shown]
    sheet(torch.cat([torch.cat(row) for row in rows]).clamp(-1, 1), HERE / "loop.png", len(shown), names, cell=128)


def noise(prior, x: torch.Tensor) -> None:
    """The same noise at four levels of a measurement, and what one network call makes of each."""
    sigmas = (0.01, 0.05, 0.2, 0.5)
    n = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    noisy = [x + sigma * n for sigma in sigmas]
    levels = [prior.schedule.at_noise(sigma) for sigma in sigmas]
    clean = [prior.denoise(level.alpha * y, level).x0 for y, level in zip(noisy, levels, strict=True)]
    names = [f"sigma {s:g}, {s * 127.5:.4g}/255" for s in sigmas]
    names += [f"denoised: {pp.metrics.psnr(d, x).item():.1f} dB" for d in clean]
    sheet(torch.cat(noisy + clean).clamp(-1, 1), HERE / "noise.png", len(sigmas), names)


def families(prior, x: torch.Tensor, operator: Operator) -> None:
    """One sampler of each family on the same measurement, with its preset."""
    likelihood = pp.Gaussian.simulate(x, operator, sigma=SIGMA)
    pictures, names = [likelihood.y], ["measurement"]
    for family, (cls, given) in FAMILIES.items():
        sampler: Sampler = pp.preset(cls, operator, prior, sigma=SIGMA, steps=100, **given)
        restored = pp.sample(prior, likelihood, sampler, seed=0, progress=False)[:, 0]
        pictures.append(restored)
        names.append(f"{family}: {cls.name}")
    sheet(torch.cat(pictures).clamp(-1, 1), HERE / "families.png", 3, names)


def photograph() -> None:
    """Part of a blurred photograph, of 600 x 400 pixels, and what DPS makes of the whole."""
    x = pp.load_image("coffee")
    prior = pp.load_prior("photo").at((x.shape[-2], x.shape[-1]))
    blur = pp.GaussianBlur(prior.shape, sigma=2)
    likelihood = pp.Gaussian.simulate(x, blur, sigma=SIGMA)
    sampler = pp.preset(pp.DPS, blur, prior, steps=100, sigma=SIGMA)
    restored = pp.sample(prior, likelihood, sampler, seed=0)[:, 0]
    part = torch.cat([x, likelihood.y, restored])[..., 80:336, 172:428].clamp(-1, 1)
    names = ["truth", f"measurement: blur sigma 2, noise {SIGMA:g}", "restored: DPS, 100 steps, prior photo"]
    sheet(part, HERE.parent / "photo.png", 3, names)


if __name__ == "__main__":
    main()

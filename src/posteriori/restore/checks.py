"""Whether a restoration is credible: it must explain the measurement, and be plausible under the prior."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from posteriori.likelihoods import GaussianNoise, Noise, PerPixelNoise
from posteriori.metrics import chi_square_range
from posteriori.operators.base import Operator
from posteriori.operators.rounding import Rounding
from posteriori.priors.base import Prior

#: sigma on [-1, 1] at which a prior is asked about a picture: 4 of 255
SIGMA = 0.03
#: sigma at which it is asked about false structure, like waves that a sampler made of noise: its contrast is high, and
#: a denoiser of little noise leaves it as it is
COARSE = 0.5
#: a shift there that is said. With the embedded priors, pictures of all kinds had up to 0.50 (photographs under
#: ``faces-128``, whose own have up to 0.28; 0.42 with ``photo``), waves 0.86 to 0.89, and white noise 0.95 to 0.98
COARSE_LIMIT = 0.6
#: the shifts there in a ``Check``
AT_COARSE = f"samples at sigma {COARSE}"
#: residuals outside this range are said: samplers that work have 0.45 to 1.3
RESIDUAL = (0.4, 1.5)
#: rms of y - A x on [-1, 1] that is said where no noise was given: four times the rounding of 8 bits
UNEXPLAINED = 0.01
#: and with an operator that rounds, as a share of what it changes in the image: restored JPEG files had 0 to 0.36, and
#: those taken for files of another quality 0.87 to 0.99
UNROUNDED = 0.5
#: a shift beyond the range of the prior's own pictures by this factor is said
MARGIN = 1.3

#: what a check found, as the manifest has it
Check = dict[str, Any]


@torch.no_grad()
def denoiser_shift(prior: Prior, x: Tensor, sigma: float = SIGMA) -> Tensor:
    """rms of D(x) - x over ``sigma`` for each image of ``x`` (n, *shape) on [-1, 1], (n,); D denoises at ``sigma``.

    (D(x) - x) / sigma^2 is the score of the prior smoothed by sigma (Tweedie). So this is the distance of x to likely
    images, in units of sigma: about 1 for noise, 0 for a flat picture. One network call an image.
    """
    level = prior.schedule.at_noise(sigma)
    moved = [prior.denoise(own[None].to(prior.device), level).x0.cpu() - own for own in x]
    return torch.cat(moved).flatten(1).square().mean(1).sqrt() / sigma


def check_prior(prior: Prior, x: Tensor) -> Check:
    """The shifts of each image of ``x``, (n, *shape), and the range of the prior's own held-out pictures, if known."""
    return {
        "is": f"rms of D(x) - x over sigma, D the denoiser at sigma = {SIGMA}: about 1 where noise is left; "
        f"at {COARSE} where there is false structure of high contrast",
        "samples": denoiser_shift(prior, x).tolist(),
        AT_COARSE: denoiser_shift(prior, x, COARSE).tolist(),
        "95% of held-out pictures": prior.shift and list(prior.shift),
    }


def of_rows(check: Check, rows: slice) -> Check:
    """``check`` of some of its images."""
    return {key: value[rows] if key.startswith("samples") else value for key, value in check.items()}


def check_residual(operator: Operator, y: Tensor, x: Tensor, noise: Noise) -> Check:
    """The residual of each image of ``x`` (n, *shape) for y (1, ...) with ``noise``; its rms if the noise is 0.

    Without noise, "at most" is the largest residual that passes.
    """
    like = noise.likelihood(y, operator)
    r = like.residual(x) if noise.level else like.misfit(x)
    rms = r.square().mean(1).sqrt()
    if not noise.level:
        text = "rms of y - A x on the [-1, 1] scale: there is no noise to compare it with"
        most = UNEXPLAINED
        if isinstance(operator, Rounding):  # an image at the edge of a cell may be rounded to the next one
            most = max(most, UNROUNDED * (operator(x) - x).square().mean().sqrt().item())
        return {"is": text, "samples": rms.tolist(), "95% of true images": None, "at most": most}
    if not isinstance(noise, GaussianNoise | PerPixelNoise):  # whose squares have another spread than chi-square
        text = "rms of y - E[y | x] over its standard deviation: about 1 where what is left over is the noise"
        return {"is": text, "samples": rms.tolist(), "95% of true images": None}
    return {
        "is": "|y - A x| / (sigma sqrt(m)) of each image: about 1 where what is left over is the noise",
        "samples": rms.tolist(),
        "95% of true images": [math.sqrt(end) for end in chi_square_range(r.shape[1])],
    }


def best_of(residual: Check, sigma: float) -> Check:
    """The image with the smallest residual, counted from 1 as the files are, and the share of images that explain y.

    Those explain y whose residual is in the range of 95% of true images, or, if that is not known, of working samplers.
    """
    residuals, known = residual["samples"], residual["95% of true images"]
    most = known[1] if known else RESIDUAL[1] if sigma else residual["at most"]
    return {
        "sample": 1 + residuals.index(min(residuals)),
        "by": "residual",
        "share that explains y": fmean(own <= most for own in residuals),
    }


def warnings(residual: Check, shift: Check, sigma: float, *, simulated: bool) -> list[str]:
    """Warnings about a restoration, one line each: see ``check_residual`` and ``check_prior``.

    ``simulated``: the noise is known to be ``sigma``, so that the residual depends on the sampler alone.
    """
    found = []
    value = fmean(residual["samples"])
    low, high = RESIDUAL if sigma else (0.0, residual["at most"])
    if not low <= value <= high:
        estimate = value * (sigma or 1)
        larger = value > high
        by_noise = f"the noise is {'larger' if larger else 'smaller'} than --noise says, about {estimate:.2g}, or "
        by_sampler = "the picture does not explain the measurement: try another sampler, or more steps"
        if not larger:
            by_sampler = "the picture has the measurement's noise in it: try another sampler, or more steps"
        said = f"residual {value:.2g}"
        found.append(f"{said}: {by_sampler}" if simulated else f"{said}: {by_noise}{by_sampler}")
    known, moved = shift["95% of held-out pictures"], fmean(shift["samples"])
    if known and moved > MARGIN * known[1]:
        found.append(
            f"shift {moved:.2f}, above the {known[0]:.2f} to {known[1]:.2f} of pictures that the prior knows: noise "
            "or artefacts are left; try --sampler auto, another --noise, or another prior"
        )
    elif known and (moved := fmean(shift[AT_COARSE])) > COARSE_LIMIT:
        found.append(
            f"shift {moved:.2f} at sigma {COARSE}, where pictures have at most 0.5: the sampler made structure that no "
            "picture has; try --sampler auto, another --noise, or another prior"
        )
    return found

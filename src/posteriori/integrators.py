"""Ways to go from x_t to x_s by any estimate of x_0: of E[x_0 | x_t] or of E[x_0 | x_t, y].

The probability-flow ODE is d(x / sigma) / d(alpha / sigma) = x0(x, t) in whatever alpha and sigma, so that an exact
step is the one of DDIM with an average of x0 over it. The second-order methods are two ways to estimate that average;
neither divides by alpha, and both are DDIM where they end in sigma = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from torch import Tensor

from posteriori.kernels import implicit, reverse
from posteriori.priors.base import Denoised
from posteriori.schedule import Level

Estimate = Callable[[Tensor, Level], Denoised]
Noise = Callable[[], Tensor]


class Stepped(NamedTuple):
    """x_s, the estimate at x_t, and what the next step is given as ``carry``."""

    x: Tensor
    denoised: Denoised
    carry: Any = None


def ancestral(estimate: Estimate, x: Tensor, t: Level, s: Level, noise: Noise, carry: Any) -> Stepped:
    """DDPM, with a learned variance where there is one: Ho et al. 2020, algorithm 2."""
    denoised = estimate(x, t)
    return Stepped(reverse(x, denoised.x0, t, s, noise, fraction=denoised.variance_fraction), denoised)


def ddim(estimate: Estimate, x: Tensor, t: Level, s: Level, noise: Noise, carry: Any) -> Stepped:
    """First order: Song et al. 2021, eq. 12 with sigma = 0."""
    denoised = estimate(x, t)
    return Stepped(implicit(x, denoised.x0, t, s, 0.0, noise), denoised)


def heun(estimate: Estimate, x: Tensor, t: Level, s: Level, noise: Noise, carry: Any) -> Stepped:
    """Second order, by two estimates a step: their mean, the second at DDIM's x_s (Karras et al. 2022, algorithm 1).

    Karras et al. integrate over sigma / alpha, which is infinite where alpha = 0; here it is alpha / sigma.
    """
    denoised = estimate(x, t)
    x_s = implicit(x, denoised.x0, t, s, 0.0, noise)
    if s.sigma:
        x_s = implicit(x, (denoised.x0 + estimate(x_s, s).x0) / 2, t, s, 0.0, noise)
    return Stepped(x_s, denoised)


def dpm_solver(
    estimate: Estimate, x: Tensor, t: Level, s: Level, noise: Noise, carry: tuple[Tensor, float] | None
) -> Stepped:
    """DPM-Solver++(2M), second order by one estimate a step and the one before: Lu et al. 2022, "DPM-Solver++",
    algorithm 2, x0 + (x0 - x0_before) h / (2 h_before), h = lambda_s - lambda_t.
    """
    denoised = estimate(x, t)
    x0 = denoised.x0
    if carry is not None and s.sigma:
        before, h_before = carry
        x0 = x0 + (s.log_snr - t.log_snr) / (2 * h_before) * (x0 - before)
    return Stepped(implicit(x, x0, t, s, 0.0, noise), denoised, (denoised.x0, s.log_snr - t.log_snr))


Integrator = Literal["ancestral", "ddim", "heun", "dpm-solver++"]
INTEGRATORS: dict[Integrator, Callable[..., Stepped]] = {
    "ancestral": ancestral,
    "ddim": ddim,
    "heun": heun,
    "dpm-solver++": dpm_solver,
}

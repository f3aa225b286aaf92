"""The reverse kernel p(x_s | x_t, x_0) for every sampler, and the forward kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.schedule import CLEAN, Level

Variance = Literal["auto", "small", "large", "learned"]


def forward(x_s: Tensor, t: Level, noise: Tensor, s: Level = CLEAN) -> Tensor:
    """x_t ~ q(x_t | x_s) for a level t above s; from x_0 if s is not given: Ho et al. 2020, eq. 4."""
    a = t.alpha / s.alpha
    return a * x_s + math.sqrt(t.sigma**2 - a**2 * s.sigma**2) * noise


def bridge(x_t: Tensor, x_r: Tensor, t: Level, s: Level, r: Level = CLEAN) -> tuple[Tensor, float]:
    """Mean and standard deviation of q(x_s | x_t, x_r), for levels t > s > r; Ho et al. 2020, eq. 7, if r is clean.

    With a = alpha_t / alpha_s, b = alpha_s / alpha_r, u = sigma_t^2 - a^2 sigma_s^2, v = sigma_s^2 - b^2 sigma_r^2 and
    w = sigma_t^2 - (a b)^2 sigma_r^2, it is N((a v x_t + b u x_r) / w, u v / w I).
    """
    a, b = t.alpha / s.alpha, s.alpha / r.alpha
    u, v = t.sigma**2 - (a * s.sigma) ** 2, s.sigma**2 - (b * r.sigma) ** 2
    w = t.sigma**2 - (a * b * r.sigma) ** 2
    return (a * v * x_t + b * u * x_r) / w, math.sqrt(u * v / w)


def small_std(t: Level, s: Level) -> float:
    """The standard deviation sqrt(v_lo) of q(x_s | x_t, x_0), DDPM's small one."""
    v_up = t.sigma**2 - (t.alpha / s.alpha) ** 2 * s.sigma**2
    return math.sqrt(v_up) * s.sigma / t.sigma


def implicit(x_t: Tensor, x0: Tensor, t: Level, s: Level, std: float, noise: Callable[[], Tensor]) -> Tensor:
    """alpha_s x0 + sqrt(sigma_s^2 - std^2) (x_t - alpha_t x0) / sigma_t + std noise(), for std up to sigma_s.

    If x0 is x_0 itself, this has the law q(x_s | x_0) for every std: Song et al. 2021, eq. 7 and 12. std = 0 is
    deterministic, ``small_std`` is DDPM. With an estimate x0 = E[x_0 | x_t], a larger std loses variance, in any number
    of steps: fresh noise replaces information in x_t.
    """
    direction = math.sqrt(max(s.sigma**2 - std**2, 0.0))
    x_s = s.alpha * x0 + direction * (x_t - t.alpha * x0) / t.sigma
    return x_s + std * noise() if std else x_s


def reverse(
    x_t: Tensor,
    x0: Tensor,
    t: Level,
    s: Level,
    noise: Callable[[], Tensor],
    *,
    eta: float = 1.0,
    variance: Variance = "auto",
    fraction: Tensor | None = None,
) -> Tensor:
    """x_s given x_t and the estimate x0 of x_0, for two levels t > s of any schedule; (B, ...) each.

    With a = alpha_t / alpha_s, v_up = sigma_t^2 - a^2 sigma_s^2 and v_lo = v_up sigma_s^2 / sigma_t^2:

    - "small": std = eta sqrt(v_lo) and direction sqrt(sigma_s^2 - std^2); eta = 1 is DDPM with
      beta-tilde (Ho et al. 2020, eq. 7), eta < 1 is DDIM (Song et al. 2021, eq. 12 and 16);
    - "large": the DDPM mean with v_up (beta_t);
    - "learned": the DDPM mean with exp(f log v_up + (1 - f) log v_lo), f = ``fraction`` in [0, 1]
      (Nichol and Dhariwal 2021, eq. 15);
    - "auto": "learned" if it is defined (eta = 1, a fraction, these levels), else "small".

    For sigma_s = 0 it returns x0 and draws nothing. ``noise()`` gives N(0, I) of x_t's shape.
    """
    if variance == "auto":
        learned = eta == 1 and fraction is not None and _variance_preserving(t, s)
        variance = "learned" if learned else "small"
    if variance in ("large", "learned"):
        if eta != 1:
            raise PosterioriError(
                f"variance={variance!r} is DDPM's and needs eta = 1, got eta = {eta}: use variance='small'"
            )
        if not _variance_preserving(t, s):
            raise PosterioriError(
                f"variance={variance!r} is defined on variance-preserving levels only, got alpha={t.alpha:.4g}, "
                f"sigma={t.sigma:.4g}: use variance='small'"
            )
    if variance == "learned" and fraction is None:
        raise PosterioriError("variance='learned' needs a prior that learned its variance: use 'small' or 'large'")
    if s.sigma == 0:
        return x0
    if variance == "small":
        return implicit(x_t, x0, t, s, eta * small_std(t, s), noise)
    a = t.alpha / s.alpha
    v_up = t.sigma**2 - a**2 * s.sigma**2
    v_lo = v_up * s.sigma**2 / t.sigma**2
    mean = (a * s.sigma**2 / t.sigma**2) * x_t + (s.alpha * v_up / t.sigma**2) * x0
    if variance == "large":
        return mean + math.sqrt(v_up) * noise()
    assert fraction is not None
    log_variance = fraction * math.log(v_up) + (1 - fraction) * math.log(v_lo)
    return mean + torch.exp(0.5 * log_variance) * noise()


def _variance_preserving(*levels: Level) -> bool:
    return all(abs(level.alpha**2 + level.sigma**2 - 1) < 1e-6 for level in levels)

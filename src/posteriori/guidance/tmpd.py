"""TMPD: the denoiser's covariance, with row sums as a diagonal approximation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from posteriori.guidance.base import ReverseGuidance, moments
from posteriori.likelihoods.base import Likelihood, Linear
from posteriori.linalg import per_row
from posteriori.priors.base import Denoised, Prior
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class TMPD(ReverseGuidance):
    """Tweedie moment projected diffusion: the denoiser's covariance, approximated on y by the diagonal of its row sums.

    With x0 = E[x_0 | x_t] and J = d x0 / d x_t, Cov[x_0 | x_t] = sigma_t^2 / alpha_t J, and

        E[x_0 | x_t, y] ~ x0 + sigma_t^2 / alpha_t J^T A^T (y - A x0) / (sigma_y^2 + c)
        c = sigma_t^2 / alpha_t A J^T A^T 1,    entry by entry

    replaces x0 in the reverse step. c approximates the diagonal of A Cov A^T, and equals it if the matrix is diagonal.
    Negative row sums are set to 0.

    Let M = sigma_y^2 I + A Cov A^T and v = (y - A x0) / (sigma_y^2 + c). Where M has negative entries, c can be far too
    small, and the paper's chain diverges. The step is therefore shortened to 2 v^T (y - A x0) / v^T M v where it is
    longer: from there on it is farther from the solution of M v = y - A x0, in M's norm, than no step. Where M has no
    negative entry, it is never longer.

    Paper: Boys et al. 2023, "Tweedie moment projected diffusions for inverse problems", eq. 9 and section 3.2.

    Operators: linear. Cost: one network call and two vjps a step.
    """

    name: ClassVar[str] = "tmpd"
    requires: ClassVar[type[Likelihood]] = Linear

    def __call__(self, x_t: Tensor, t: Level, prior: Prior, like: Linear) -> Denoised:
        at = moments(x_t, t, prior, like, self.clip)
        least = max(like.sigma**2, torch.finfo(x_t.dtype).tiny)
        variance = at.product(torch.ones_like(at.misfit)).clamp(min=least)
        v = at.misfit / variance
        step = at.lift(v)
        curvature = (v * (like.sigma**2 * v + at.seen(step))).sum(1)
        most = torch.where(curvature > 0, 2 * (v * at.misfit).sum(1) / curvature, 1.0).clamp(max=1)
        return at.denoised.given(at.denoised.x0 + per_row(most, step) * step)

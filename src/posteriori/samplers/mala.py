"""MALA: annealed Langevin steps on the posterior, accepted or rejected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, final

import torch
from torch import Tensor

from posteriori.likelihood import Likelihood
from posteriori.operator import Operator, SVDOperator
from posteriori.prior import Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler, State
from posteriori.samplers.stepped import estimate, geometric
from posteriori.schedule import Level, Schedule


class _Target(NamedTuple):
    """At a point: x0, the prior's score, log p(y | x_t) and its gradient."""

    x0: Tensor
    score: Tensor
    log_y: Tensor
    g: Tensor


@final
@dataclass(frozen=True, kw_only=True)
class MALA(Sampler):
    """Metropolis-adjusted Langevin steps at one noise level after the other, towards p_t(x) p(y | x_t = x).

    Levels are variance exploding, spread geometrically over the schedule. With x0 = E[x_0 | x_t = x],
    r_t^2 = v sigma_t^2 / (v + sigma_t^2) and log p(y | x_t = x) taken as log N(y; A x0, sigma_y^2 I + r_t^2 A A^T),
    each of ``inner`` steps at a level proposes

        x' = x + eta_t (score(x) + grad_x log p(y | x)) + sqrt(2 eta_t) z,    eta_t = step_size sigma_t^2

    and takes it with the probability of Metropolis and Hastings. A denoiser knows the score, not p_t: its log-ratio is
    the score's line integral from x to x' by the trapezoid rule, (score(x) + score(x')) . (x' - x) / 2, which costs no
    call. The last level ends in its denoiser's mean.

    Paper: Roberts and Tweedie 1996, "Exponential convergence of Langevin distributions and their discrete
    approximations", and Sjoberg et al. 2023, "MCMC-correction of score-based diffusion models for model composition",
    for the line integral.

    Operators: with an SVD, and sigma_y > 0. Cost: inner + 1 network calls and vjps a level.

    Exact in the limit of levels and inner steps: what is approximate of p(y | x_t) vanishes with sigma_t, and the
    trapezoid rule, exact for a Gaussian, with the length of a step. Where modes lie apart, their weights are those of
    the lowest level at which the chain still moves between them; r_t^2 makes them right there already if v is the
    variance within a mode.
    """

    name: ClassVar[str] = "mala"
    requires: ClassVar[type[Operator]] = SVDOperator
    count: ClassVar[str] = "levels"

    levels: Annotated[int, "noise levels, from the schedule's last to its first"] = 100
    inner: Annotated[int, "Langevin steps at each level"] = 10
    step_size: Annotated[float, "length eta_t of a step, in units of sigma_t^2"] = 0.3
    clip: Annotated[bool, "clamp the estimates of x_0 to the prior's bounds"] = True

    def __post_init__(self) -> None:
        for name in ("levels", "inner"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")
        if not 0 < self.step_size < math.inf:
            raise ValueError(f"step_size is {self.step_size}: give a finite number above 0")

    def path(self, schedule: Schedule) -> list[Level]:
        first, last = schedule.level(schedule.T), schedule.level(1)
        return geometric(first.sigma / first.alpha, last.sigma / last.alpha, self.levels, schedule)

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        x, t, shape = state.x, state.level, state.x.shape[1:]
        eta = self.step_size * t.sigma**2
        w = like.V(rng.normal(like.spectrum()[1].shape))  # one for the whole level, or the target would not be one
        here, accepted = self.target(x, w, t, prior, like), torch.zeros(len(x), device=x.device)
        for _ in range(self.inner):
            z = rng.normal(shape)
            move = eta * (here.score + here.g) + math.sqrt(2 * eta) * z
            there = self.target(x + move, w, t, prior, like)
            back = (-move - eta * (there.score + there.g)) / math.sqrt(2 * eta)
            log_ratio = there.log_y - here.log_y + _dot(here.score + there.score, move) / 2
            log_ratio = log_ratio + (_dot(z, z) - _dot(back, back)) / 2
            taken = rng.uniform().log() < log_ratio
            rows = taken.view(-1, *[1] * len(shape))
            x = torch.where(rows, x + move, x)
            here = _Target(*(
                torch.where(rows.view_as(taken) if new.ndim == 1 else rows, new, old)
                for new, old in zip(there, here, strict=True)
            ))  # fmt: skip
            accepted = accepted + taken / self.inner
        x0 = here.x0
        stats = {"residual": like.residual(x0).norm(dim=1), "accepted": accepted}
        return State(x if s.sigma else x0, s, state.n, x0, stats)

    def target(self, x: Tensor, w: Tensor, t: Level, prior: Prior, like: Likelihood) -> _Target:
        y, std = like.spectrum()
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0 = estimate(prior, x, t, self.clip).x0
            (jw,) = torch.autograd.grad(x0, x, w, retain_graph=True)
            share = _dot(w, jw) / _dot(w, w).clamp(min=torch.finfo(w.dtype).tiny)
            variance = std.square() + t.sigma**2 * share.clamp(min=0)[:, None]
            log_y = -0.5 * ((y - like.Vt(x0)).square() / variance + variance.log()).sum(1)
            (g,) = torch.autograd.grad(log_y.sum(), x)
        x0 = x0.detach()
        return _Target(x0, (x0 - x.detach()) / t.sigma**2, log_y.detach(), g)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1, dtype=torch.float64)

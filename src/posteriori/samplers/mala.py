"""MALA: annealed Langevin steps on the posterior, with Metropolis acceptance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple, final

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from posteriori.gradients import value_and_gradient
from posteriori.likelihoods.base import Likelihood, Spectral
from posteriori.linalg import per_row
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Sampler, State, Stats
from posteriori.schedule import Level, Schedule


class Target(NamedTuple):
    """x, and there x0, the prior's score, log p(y | x_t = x) and its gradient ``g``."""

    x: Tensor
    x0: Tensor
    score: Tensor
    log_y: Tensor
    g: Tensor


@final
@dataclass(frozen=True, kw_only=True)
class MALA(Sampler):
    """Metropolis-adjusted Langevin steps on p_t(x) p(y | x_t = x), at one noise level after the other.

    Levels are variance exploding, and spaced geometrically over the schedule. With x0 = E[x_0 | x_t = x] and its
    Jacobian J, p(y | x_t = x) is approximated by N(y; A x0, sigma_y^2 I + r^2 A A^T). Here r^2 = sigma_t^2 w^T J w /
    |w|^2 estimates the mean variance of the measured coordinates given x_t, by w = V S e with one e ~ N(0, I) per
    level. Each of ``inner`` steps proposes

        x' = x + eta_t (score(x) + grad_x log p(y | x)) + sqrt(2 eta_t) z,    eta_t = step_size sigma_t^2

    with r^2 held fixed in the gradient, and accepts by Metropolis and Hastings. The prior has a score but no density:
    the log-ratio of p_t is the line integral of the score from x to x', by the trapezoid rule, without a further call.

    Paper: Roberts and Tweedie 1996, "Exponential convergence of Langevin distributions and their discrete
    approximations"; Sjoberg et al. 2023, "MCMC-correction of score-based diffusion models for model composition".

    Operators: with an SVD. Cost: inner + 1 network calls and twice as many vjps a level.

    Exact in the limit of many levels and inner steps: the error of p(y | x_t) vanishes with sigma_t, and that of the
    trapezoid rule (0 for a Gaussian) with the step. Modes keep the weights of the lowest level at which the chain still
    moves between them. If y separates the modes already at high noise, convergence is slow.
    """

    name: ClassVar[str] = "mala"
    requires: ClassVar[type[Likelihood]] = Spectral
    count: ClassVar[str] = "levels"

    levels: Annotated[int, Ge(1), "noise levels, from the schedule's last to its first"] = 100
    inner: Annotated[int, Ge(1), "Langevin steps at each level"] = 10
    step_size: Annotated[float, Gt(0), "length eta_t of a step, in units of sigma_t^2"] = 0.3
    clip: Annotated[bool, "clamp the estimates of x_0 to the prior's bounds"] = True

    def path(self, schedule: Schedule) -> list[Level]:
        return schedule.geometric(*schedule.sigma_bars, self.levels)

    def step(self, state: State, s: Level, prior: Prior, like: Spectral, rng: Rng) -> State:
        x, t, eta = state.x, state.level, self.step_size * state.level.sigma**2
        std = like.spectrum()[1].clamp(min=1e-6)  # sigma_y / s; without noise equal for all
        w = like.V(rng.normal(std.shape) / std)  # fixed within a level, so that the chain has one target
        at, accepted = self.target(x, w, t, prior, like), x.new_zeros(len(x))
        for _ in range(self.inner):
            z = rng.normal(prior.shape)
            move = eta * (at.score + at.g) + math.sqrt(2 * eta) * z
            to = self.target(at.x + move, w, t, prior, like)
            back = (move + eta * (to.score + to.g)) / math.sqrt(2 * eta)  # the noise that would move it back
            log_ratio = to.log_y - at.log_y + _dot(at.score + to.score, move) / 2 + (_dot(z, z) - _dot(back, back)) / 2
            taken = rng.uniform().log() < log_ratio
            at = Target(*(torch.where(per_row(taken, new), new, old) for new, old in zip(to, at, strict=True)))
            accepted = accepted + taken / self.inner
        return State(at.x if s.sigma else at.x0, s, state.n, at.x0, Stats(accepted=lambda: accepted))

    def target(self, x: Tensor, w: Tensor, t: Level, prior: Prior, like: Spectral) -> Target:
        y, std = like.spectrum()
        (x0, *_), vjp = prior.linearise(x, t, self.clip)
        share = (_dot(w, vjp(w, again=True)) / _dot(w, w).clamp(min=torch.finfo(w.dtype).tiny)).clamp(min=0)
        variance = std.square() + t.sigma**2 * share.to(x.dtype)[:, None]

        def log_prob(x0: Tensor) -> Tensor:
            return -0.5 * ((y - like.Vt(x0)).square() / variance + variance.log()).sum(1, dtype=torch.float64)

        log_y, towards_y = value_and_gradient(log_prob, x0)
        return Target(x, x0, (x0 - x) / t.sigma**2, log_y, vjp(towards_y))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1, dtype=torch.float64)

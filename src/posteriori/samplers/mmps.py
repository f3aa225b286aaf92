"""MMPS: moment matching, with the denoiser's own covariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor

from posteriori.likelihood import Likelihood
from posteriori.operator import LinearOperator, Operator
from posteriori.prior import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import State
from posteriori.samplers.ddim import ReverseSampler
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class MMPS(ReverseSampler):
    """Moment-matching posterior sampling: p(x_0 | x_t) is taken as a Gaussian with the denoiser's mean and covariance.

    With x0 = E[x_0 | x_t] and J = d x0 / d x_t, Cov[x_0 | x_t] = sigma_t^2 / alpha_t J exactly, and

        E[x_0 | x_t, y] ~ x0 + sigma_t^2 / alpha_t J^T A^T v
        (sigma_y^2 I + sigma_t^2 / alpha_t A J^T A^T) v = y - A x0

    takes the place of x0 in the reverse step. v comes from conjugate gradients, a vjp for each product. Exact for a
    Gaussian prior, given as many iterations as there are distinct eigenvalues.

    Paper: Rozet et al. 2024, "Learning diffusion priors from observations by expectation maximization", section 4.2,
    eq. 16 to 19, algorithm 2.

    Operators: linear. Cost: one network call and ``iterations`` + 1 vjps a step.

    The code is for variance-exploding levels and takes 1 iteration on CIFAR-10, 3 on MRI, and as many as it needs
    for its toy manifold; a relative residual of 1e-3 stops it over the whole batch. Here the number is fixed.
    """

    name: ClassVar[str] = "mmps"
    requires: ClassVar[type[Operator]] = LinearOperator

    steps: Annotated[int, "reverse steps over the whole schedule, up to its T levels"] = 256
    iterations: Annotated[int, "conjugate-gradient steps, each with one vjp"] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1:
            raise ValueError(f"iterations is {self.iterations}: give at least 1")

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        t = state.level
        with torch.enable_grad():
            x_t = state.x.detach().requires_grad_()
            x0, var = self.denoise(x_t, t, prior)
            residual = like.residual(x0)

        def correction(v: Tensor) -> Tensor:
            """sigma_t^2 / alpha_t J^T A^T v: minus the gradient of the residual y - A x0."""
            return -(t.sigma**2) / t.alpha * torch.autograd.grad(residual, x_t, v, retain_graph=True)[0]

        def product(v: Tensor) -> Tensor:
            x = correction(v)
            return like.sigma**2 * v + like.residual(torch.zeros_like(x)) - like.residual(x)

        v = conjugate_gradients(product, residual.detach(), self.iterations)
        posterior = Denoised(x0.detach() + correction(v), None if var is None else var.detach())
        x_s = self.reverse(state.x, posterior, t, s, rng)
        return State(x_s, s, state.n, x0.detach(), {"residual": residual.detach().norm(dim=1)})


def conjugate_gradients(product: Callable[[Tensor], Tensor], b: Tensor, iterations: int) -> Tensor:
    """An approximate solution v of product(v) = b for each row, from v = 0: Hestenes and Stiefel 1952.

    A row stays as it is once it is solved to 1e-6, or where the product is not positive along its direction, as a
    network's Jacobian may make it.
    """
    v, r, p = torch.zeros_like(b), b, b
    square = r.square().sum(1, keepdim=True)
    solved = 1e-12 * square
    for _ in range(iterations):
        q = product(p)
        curvature = (p * q).sum(1, keepdim=True)
        length = torch.where((curvature > 0) & (square > solved), square / curvature, 0.0)
        v, r = v + length * p, r - length * q
        previous, square = square, r.square().sum(1, keepdim=True)
        p = r + torch.where(previous > 0, square / previous, 0.0) * p
    return v

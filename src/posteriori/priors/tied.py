"""A Gaussian mixture whose components share one covariance: the closed forms without a d x d matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods import Gaussian
from posteriori.operators.linear import LinearOperator
from posteriori.priors.base import Denoised, Prior
from posteriori.priors.mixture import checked
from posteriori.schedule import Level, Schedule, linear_betas


@final
class TiedMixture(Prior):
    """p(x_0) = sum_k w_k N(m_k, C), with C = U diag(v) U^T + rest (I - U U^T) for all K components.

    ``means`` is (K, *shape), ``axes`` U (d, r) with orthonormal columns, d the number of entries, ``variances`` v (r,),
    ``rest`` the variance along all other directions, ``weights`` (K,), equal by default. It takes (K + r) d operations
    a sample, where ``GaussianMixture`` takes K d^2. Computations are in float64; results have the dtype of the input.
    """

    dtype = torch.float64

    def __init__(
        self,
        means: Tensor,
        axes: Tensor,
        variances: Tensor,
        rest: float,
        weights: Tensor | None = None,
        *,
        schedule: Schedule | None = None,
    ):
        K, d, r = len(means), means[0].numel(), len(variances)
        if axes.shape != (d, r):
            raise PosterioriError(f"axes are {tuple(axes.shape)}: {d} entries and {r} variances need ({d}, {r})")
        if bool((variances < 0).any()) or rest < 0:
            raise PosterioriError("a variance is negative: give numbers from 0 up")
        self.shape = tuple(means.shape[1:])
        self.schedule = schedule or linear_betas()
        self.means = means.double().flatten(1)
        self.axes, self.variances, self.rest = axes.double(), variances.double(), float(rest)
        weights = checked(weights, K).double()
        self.weights = weights / weights.sum()

    @classmethod
    def isotropic(cls, means: Tensor, variance: float, weights: Tensor | None = None) -> TiedMixture:
        """C = variance I."""
        return cls(means, torch.zeros(means[0].numel(), 0), torch.zeros(0), variance, weights)

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        if t.sigma == 0:
            return Denoised(x_t / t.alpha)
        x = x_t.double().flatten(1)
        near = self._log_weights(x, t).softmax(1) @ self.means
        # E[x_0 | x_t, k] is linear in (x_t, m_k) with one matrix for all k: average the means first
        x0 = near + self._along(x - t.alpha * near, lambda v: t.alpha * v / (t.alpha**2 * v + t.sigma**2))
        return Denoised(x0.to(x_t.dtype).unflatten(1, self.shape))

    def log_prob(self, x_t: Tensor, t: Level) -> Tensor:
        """log p_t(x_t), (B,), for sigma > 0 or variances above 0."""
        x = x_t.double().flatten(1)
        d, r = self.axes.shape
        log_det = (t.alpha**2 * self.variances + t.sigma**2).log().sum()
        log_det = log_det + (d - r) * math.log(t.alpha**2 * self.rest + t.sigma**2) if r < d else log_det
        own = -0.5 * ((x * self._precision(x, t)).sum(1) + log_det + d * math.log(2 * math.pi))
        return (own + self._log_weights(x, t).logsumexp(1)).to(x_t.dtype)

    def _log_weights(self, x: Tensor, t: Level) -> Tensor:
        """log w_k N(x; alpha m_k, alpha^2 C + sigma^2 I), up to a constant that all k share, (B, K)."""
        means = t.alpha * self.means
        weighed = self._precision(means, t)
        return self.weights.log() + x @ weighed.T - 0.5 * (means * weighed).sum(1)

    def _precision(self, z: Tensor, t: Level) -> Tensor:
        return self._along(z, lambda v: 1 / (t.alpha**2 * v + t.sigma**2))

    def _along(self, z: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        """f(C) z for rows z, with f applied to the eigenvalues."""
        other = f(torch.tensor(self.rest, dtype=torch.float64))
        return other * z + ((f(self.variances) - other) * (z @ self.axes)) @ self.axes.T

    def mean(self) -> Tensor:
        """E[x_0], of ``shape``."""
        return (self.weights @ self.means).unflatten(0, self.shape)

    def covariance(self) -> Tensor:
        """Cov[x_0], (d, d)."""
        centred = self.means - self.weights @ self.means
        return self.component_covariance() + (self.weights * centred.T) @ centred

    def component_covariance(self) -> Tensor:
        """C, (d, d)."""
        return self._along(torch.eye(len(self.axes), dtype=torch.float64), lambda v: v)

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """n exact samples, (n, *shape) float32."""
        rng = torch.Generator().manual_seed(seed)
        k = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        z = torch.randn(n, len(self.axes), generator=rng, dtype=torch.float64)
        return (self.means[k] + self._along(z, torch.sqrt)).float().unflatten(1, self.shape)

    def posterior(self, likelihood: Gaussian) -> TiedMixture:
        """p(x_0 | y) for one linear-Gaussian measurement with sigma_y > 0: exactly such a mixture again.

        With S = A C A^T + sigma_y^2 I, for each component: mean m_k + C A^T S^-1 (y - A m_k), weight w_k N(y; A m_k,
        S). For all: C - C A^T S^-1 A C (Bishop 2006, eq. 2.113 to 2.117), which differs from ``rest`` I only in the
        span of U and C A^T.
        """
        operator = likelihood.white
        if len(likelihood) != 1 or not isinstance(operator, LinearOperator) or likelihood.sigma <= 0:
            raise PosterioriError("the exact posterior needs one measurement of a linear operator, with sigma > 0")
        A = operator.observed_entries(operator(torch.eye(len(self.axes)).unflatten(1, self.shape))).T.double()
        CA = self._along(A, lambda v: v).T
        S = A @ CA + likelihood.sigma**2 * torch.eye(len(A), dtype=torch.float64)
        gain = torch.linalg.solve(S, CA.T).T
        off = operator.observed_entries(likelihood.white_y)[0].double() - self.means @ A.T
        log_evidence = -0.5 * (off * torch.linalg.solve(S, off.T).T).sum(1)
        span = torch.linalg.qr(torch.cat([self.axes, CA], 1))[0]
        inside = self._along(span.T, lambda v: v) @ span - span.T @ gain @ CA.T @ span
        variances, basis = torch.linalg.eigh((inside + inside.T) / 2)
        return TiedMixture(
            (self.means + off @ gain.T).unflatten(1, self.shape),
            span @ basis,
            variances.clamp(min=0),
            self.rest,
            (self.weights.log() + log_evidence).softmax(0),
            schedule=self.schedule,
        )

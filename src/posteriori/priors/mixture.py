"""A Gaussian mixture as a prior: denoiser and posterior in closed form, to check samplers against."""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods import Gaussian
from posteriori.operators.linear import LinearOperator
from posteriori.priors.base import Denoised, Prior
from posteriori.schedule import Level, Schedule, linear_betas


@final
class GaussianMixture(Prior):
    """p(x_0) = sum_k w_k N(m_k, C_k), with K components over vectors or images of any shape.

    ``means`` is (K, *shape). ``covariances`` is (K, d, d), d the number of entries, symmetric and positive semidefinite
    (singular ones are allowed). ``weights`` is (K,), equal by default. Computations are in float64; results have the
    dtype of the input. Raises PosterioriError for other shapes, for an indefinite covariance and for negative weights.
    """

    dtype = torch.float64

    def __init__(
        self,
        means: Tensor,
        covariances: Tensor,
        weights: Tensor | None = None,
        *,
        schedule: Schedule | None = None,
    ):
        K, d = len(means), means[0].numel()
        if tuple(covariances.shape) != (K, d, d):
            raise PosterioriError(
                f"covariances are {tuple(covariances.shape)}; {K} means of {d} entries need ({K}, {d}, {d})"
            )
        self.shape = tuple(means.shape[1:])
        self.schedule = schedule or linear_betas()
        self.means = means.double().flatten(1)
        self.covariances = covariances.double()
        weights = checked(weights, K)
        self.weights = (weights / weights.sum()).double()
        eigenvalues, self._basis = torch.linalg.eigh(self.covariances)
        if bool((eigenvalues < -1e-8 * eigenvalues.abs().max()).any()):
            raise PosterioriError(
                f"a covariance has the eigenvalue {eigenvalues.min():.3g}: give positive semidefinite ones"
            )
        self._eigenvalues = eigenvalues.clamp(min=0)

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        if t.sigma == 0:
            return Denoised(x_t / t.alpha)
        z, variance, log_weight = self._project(x_t, t)
        gain = t.alpha * self._eigenvalues / variance
        means = self.means + torch.einsum("kde,bke->bkd", self._basis, gain * z)
        x0 = torch.einsum("bk,bkd->bd", log_weight.softmax(1), means)
        return Denoised(x0.to(x_t.dtype).unflatten(1, self.shape))

    def log_prob(self, x_t: Tensor, t: Level) -> Tensor:
        """log p_t(x_t), (B,), for sigma > 0 or covariances of full rank."""
        return self._project(x_t, t)[2].logsumexp(1).to(x_t.dtype)

    def _project(self, x_t: Tensor, t: Level) -> tuple[Tensor, Tensor, Tensor]:
        """Deviations in each eigenbasis (B, K, d), their variances (K, d), log w_k N(x_t) (B, K)."""
        deviation = x_t.double().flatten(1)[:, None] - t.alpha * self.means
        z = torch.einsum("kde,bkd->bke", self._basis, deviation)
        variance = t.alpha**2 * self._eigenvalues + t.sigma**2
        log_normal = -0.5 * (z.square() / variance + variance.log() + math.log(2 * math.pi)).sum(-1)
        return z, variance, self.weights.log() + log_normal

    def mean(self) -> Tensor:
        """E[x_0], of ``shape``."""
        return (self.weights @ self.means).unflatten(0, self.shape)

    def covariance(self) -> Tensor:
        """Cov[x_0], (d, d)."""
        centred = self.means - self.weights @ self.means
        between = torch.einsum("k,kd,ke->de", self.weights, centred, centred)
        return torch.einsum("k,kde->de", self.weights, self.covariances) + between

    @cached_property
    def roots(self) -> Tensor:
        """The symmetric square roots of the covariances, (K, d, d), which do not depend on an eigenbasis."""
        return torch.einsum("kde,ke,kfe->kdf", self._basis, self._eigenvalues.sqrt(), self._basis)

    def draw(self, n: int, seed: int = 0) -> Tensor:
        """n exact samples, (n, *shape) float32."""
        rng = torch.Generator().manual_seed(seed)
        k = torch.multinomial(self.weights, n, replacement=True, generator=rng)
        z = torch.randn(n, self.means.shape[1], generator=rng, dtype=torch.float64)
        x = self.means[k] + torch.einsum("nde,ne->nd", self.roots[k], z)
        return x.float().unflatten(1, self.shape)

    def posterior(self, likelihood: Gaussian) -> GaussianMixture:
        """p(x_0 | y) for one linear-Gaussian measurement: exactly a mixture again.

        For each component, with S = A C A^T + sigma_y^2 I: mean m + C A^T S^+ (y - A m), covariance C - C A^T S^+ A C,
        weight w N(y; A m, S) (Bishop 2006, eq. 2.113 to 2.117).
        """
        operator = likelihood.white
        if len(likelihood) != 1 or not isinstance(operator, LinearOperator):
            raise PosterioriError("the exact posterior needs one measurement of a linear operator")
        # linear, so its matrix follows from the unit vectors
        d = self.means.shape[1]
        A = operator.observed_entries(operator(torch.eye(d).unflatten(1, self.shape))).T.double()
        y = operator.observed_entries(likelihood.white_y)[0].double()
        AC = torch.einsum("md,kde->kme", A, self.covariances)
        S = AC @ A.T + likelihood.sigma**2 * torch.eye(len(A), dtype=torch.float64)
        eigenvalues, basis = torch.linalg.eigh(S)
        # at sigma = 0 S may be singular: y can deviate only in the directions that remain
        kept = eigenvalues > 1e-12 * eigenvalues.amax(1, keepdim=True)
        inverse = torch.where(kept, 1 / eigenvalues.where(kept, 1.0), 0.0)
        deviation = torch.einsum("kmn,km->kn", basis, y - self.means @ A.T)
        log_det = torch.where(kept, eigenvalues, 1.0).log()
        normaliser = kept * math.log(2 * math.pi)
        log_evidence = -0.5 * (deviation.square() * inverse + log_det + normaliser).sum(1)
        log_evidence = log_evidence.where(_possible(deviation, kept, y, self.means @ A.T), -math.inf)
        gain = torch.einsum("kme,kmn,kn->ken", AC, basis, inverse)  # C A^T S^+ in S's eigenbasis
        means = self.means + torch.einsum("ken,kn->ke", gain, deviation)
        covariances = self.covariances - torch.einsum("ken,kmn,kmd->ked", gain, basis, AC)
        # what is left of a direction that y fixes is rounding, of either sign
        left, axes = torch.linalg.eigh((covariances + covariances.mT) / 2)
        left = left.where(left > 1e-12 * self._eigenvalues.amax(1, keepdim=True), 0.0)
        return GaussianMixture(
            means.unflatten(1, self.shape),
            torch.einsum("kde,ke,kfe->kdf", axes, left, axes),
            (self.weights.log() + log_evidence).softmax(0),
            schedule=self.schedule,
        )


def checked(weights: Tensor | None, K: int) -> Tensor:
    """The weights of K components, (K,), before normalisation; equal by default."""
    weights = torch.ones(K) if weights is None else weights
    if weights.shape != (K,) or bool((weights < 0).any()) or not weights.sum() > 0:
        raise PosterioriError(f"weights are {weights.tolist()}: give {K} numbers from 0 up")
    return weights


def _possible(deviation: Tensor, kept: Tensor, y: Tensor, means: Tensor) -> Tensor:
    """Which components can give y at all, (K,): all of them, unless S is singular.

    Of two components, the one whose S has the lower rank has an infinitely larger density where it can give y.
    """
    scale = torch.maximum(y.norm(), means.norm(dim=1))
    fits = deviation.where(~kept, 0.0).norm(dim=1) <= 1e-4 * scale  # y is float32 and may have come from a file
    if not fits.any():
        raise PosterioriError("no component of the mixture gives this measurement without noise: give sigma > 0")
    rank = kept.sum(1)
    return fits & (rank == rank[fits].min())

"""A Gaussian prior for images of any size. Its denoiser is linear, and known in closed form."""

from __future__ import annotations

from typing import Self, final

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.priors.base import Denoised, Prior
from posteriori.schedule import Level, Schedule, linear_betas


@final
class LowRankGaussian(Prior):
    """p(x_0) = N(mean, U diag(v) U^T + rest (I - U U^T)): ``variances`` v along k axes, ``rest`` along all others.

    ``mean`` has the shape of an image, ``axes`` U is (d, k) with orthonormal columns, d the number of entries, and
    ``variances`` is (k,). Unlike ``GaussianMixture`` it needs no d x d matrix, so that images of natural size fit.
    """

    def __init__(self, mean: Tensor, axes: Tensor, variances: Tensor, rest: float, *, schedule: Schedule | None = None):
        if axes.shape != (mean.numel(), len(variances)):
            raise PosterioriError(
                f"axes are {tuple(axes.shape)}: {mean.numel()} entries and {len(variances)} variances need "
                f"({mean.numel()}, {len(variances)})"
            )
        if bool((variances < 0).any()) or rest < 0:
            raise PosterioriError("a variance is negative: give numbers from 0 up")
        self.shape = tuple(mean.shape)
        self.schedule = schedule or linear_betas()
        self.mean, self.axes, self.variances, self.rest = mean, axes, variances, rest

    @classmethod
    def fit(cls, images: Tensor, rank: int, *, schedule: Schedule | None = None) -> Self:
        """The likeliest such Gaussian for ``images``, (N, *shape): Tipping and Bishop 1999, eq. 7 and 8.

        Raises PosterioriError unless 1 <= rank < N <= d.
        """
        N, d = len(images), images[0].numel()
        if not 1 <= rank < N <= d:
            raise PosterioriError(f"rank is {rank} for {N} images of {d} entries: give 1 <= rank < images <= entries")
        mean = images.mean(0)
        centred = (images - mean).flatten(1).double()
        squares, basis = torch.linalg.eigh(centred @ centred.T / N)  # the same eigenvalues as the covariance's
        squares, basis = squares.flip(0), basis.flip(1)[:, :rank]
        axes = centred.T @ basis / (N * squares[:rank]).sqrt()
        rest = squares[rank:].sum().item() / (d - rank)
        return cls(mean, axes.float(), squares[:rank].float(), rest, schedule=schedule)

    def denoise(self, x_t: Tensor, t: Level) -> Denoised:
        if t.sigma == 0:
            return Denoised(x_t / t.alpha)

        def gain(variance: Tensor) -> Tensor:
            return t.alpha * variance / (t.alpha**2 * variance + t.sigma**2)

        z = (x_t - t.alpha * self.mean).flatten(1)
        other = gain(torch.tensor(self.rest))
        x0 = other * z + ((gain(self.variances) - other) * (z @ self.axes)) @ self.axes.T
        return Denoised(self.mean + x0.unflatten(1, self.shape))

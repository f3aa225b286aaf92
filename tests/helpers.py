"""Small known problems, and the arithmetic to check samplers against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from posteriori.names import classes
from posteriori.operators import (
    MRI,
    BoxMask,
    Dense,
    Downsample,
    Fourier,
    GaussianBlur,
    Identity,
    Mask,
    WalshHadamard,
)
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.operators.svd import SVDOperator
from posteriori.priors.mixture import GaussianMixture
from posteriori.priors.unet import PixelUNet, UNetPrior
from posteriori.rng import Rng
from posteriori.sampler import Around, Sampler
from posteriori.schedule import linear_betas

T = TypeVar("T")

IMAGE = (3, 8, 8)
LINEAR = linear_betas()


def named(listed: Sequence[type], base: type[T]) -> set[type[T]]:
    """Every class of ``base`` with a name in the packages that the ``listed`` ones are from."""
    packages = [import_module(name) for name in {cls.__module__.rpartition(".")[0] for cls in listed}]
    modules = [import_module(f"{p.__name__}.{found.name}") for p in packages for found in iter_modules(p.__path__)]
    return {cls for module in modules for cls in classes(vars(module), base)}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def covariance(d: int, seed: int = 0) -> Tensor:
    """A correlated (d, d) covariance of full rank."""
    root = normal(d, d, seed=seed, dtype=torch.float64)
    return root @ root.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


def image_mixture() -> GaussianMixture:
    """Two Gaussians over 3 x 8 x 8 images, smooth and of rank 60 out of 192, a third of a unit wide."""
    points = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0))
    near = torch.exp(-torch.cdist(points, points).square() / 8)
    smooth = torch.kron(torch.eye(3) + 0.5, near)
    values, basis = torch.linalg.eigh(smooth.double())
    values[:-60] = 0
    means = 0.2 * torch.stack([torch.ones(IMAGE), -torch.ones(IMAGE)])
    return GaussianMixture(means, (0.08 * (basis * values) @ basis.T).expand(2, -1, -1), torch.tensor([0.6, 0.4]))


def dense(operator: Operator) -> Tensor:
    """A, (m, d) float64, column by column; its rows are the observed entries."""
    columns = torch.eye(torch.Size(operator.shape).numel()).unflatten(1, operator.shape)
    return operator.observed_entries(operator(columns)).T.double()


def small_operators(shape: tuple[int, int, int] = IMAGE) -> list[SVDOperator]:
    """One of every operator with an SVD, for images of at least 8 x 8."""
    mask = normal(1, *shape[1:], seed=3) > 0
    d = torch.Size(shape).numel()
    return [
        Identity(shape),
        BoxMask(shape, size=3),
        Mask(shape, mask),
        GaussianBlur(shape, sigma=1.0, size=7),
        Downsample(shape, 2),
        Dense(shape, normal(d // 4, d, seed=4) / d**0.5),
        WalshHadamard(shape, share=0.5),
        Fourier(shape, share=0.5),
        MRI(shape, acceleration=2.0),
    ]


@dataclass(frozen=True)
class Quantiser(Operator):
    """A nonlinear operator: steps of 1/2 with smooth edges, of slope 0 to 2."""

    name: ClassVar[str] = "quantiser"

    def __call__(self, x: Tensor) -> Tensor:
        return x - (4 * torch.pi * x).sin() / (4 * torch.pi)

    def initial_estimate(self, y: Tensor) -> Tensor:
        return y


@dataclass(frozen=True)
class WithoutSVD(LinearOperator):
    """A linear operator that hides its singular value decomposition."""

    name: ClassVar[str] = "without-svd"

    inner: SVDOperator

    def __call__(self, x: Tensor) -> Tensor:
        return self.inner(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(y)

    def initial_estimate(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(y)

    def zero_filled(self, y: Tensor) -> Tensor:
        return self.inner.zero_filled(y)

    def observed_entries(self, y: Tensor) -> Tensor:
        return self.inner.observed_entries(y)


def without_clip(sampler: Sampler) -> Sampler:
    if isinstance(sampler, Around):
        return replace(sampler, **{sampler.inside: without_clip(sampler.inner)})
    return replace(sampler, clip=False)


def as_network(mixture: GaussianMixture, prediction: str) -> UNetPrior:
    """``mixture``'s denoiser dressed up as a network that makes this kind of prediction."""
    net = PixelUNet(_MixtureNet(mixture, prediction))
    return UNetPrior(net, mixture.schedule, mixture.shape, prediction=prediction)


class _MixtureNet(nn.Module):
    config: ClassVar = {"block_out_channels": (8,), "in_channels": 3, "out_channels": 3}

    def __init__(self, mixture: GaussianMixture, prediction: str):
        super().__init__()
        self.mixture, self.prediction = mixture, prediction

    def forward(self, x, time, return_dict):
        schedule = self.mixture.schedule
        level = schedule.level(float(time[0]) / schedule.index(1) if self.prediction == "flow" else float(time[0]) + 1)
        x = x.double()
        x0 = self.mixture.denoise(x, level).x0
        eps = (x - level.alpha * x0) / level.sigma
        out = {
            "epsilon": eps,
            "sample": x0,
            "v_prediction": level.alpha * eps - level.sigma * x0,
            "flow": eps - x0,
        }[self.prediction]
        return (out.float(),)


class Bulk(Rng):
    """One generator for all rows, where thousands of streams would be slow; noise times ``factor``, ``n`` an image."""

    def __init__(self, rows: int, seed: int = 0, factor: float = 1.0, n: int = 1):
        self.rows, self.factor, self.n = rows, factor, n
        self.generator = torch.Generator().manual_seed(seed)

    @cached_property
    def resampling(self) -> Rng:
        return Bulk(self.rows // self.n, seed=2**40 + self.generator.initial_seed())

    def uniform(self) -> Tensor:
        return torch.rand(self.rows, generator=self.generator)

    def normal(self, shape) -> Tensor:
        return self.factor * torch.randn(self.rows, *shape, generator=self.generator)


def standard_errors_off(samples: Tensor, mean: Tensor, cov: Tensor) -> float:
    """The largest deviation of an entry of the samples' (N, d) mean or covariance, in a Gaussian's standard errors."""
    samples, N = samples.double(), len(samples)
    variances = cov.diagonal()
    off_mean = (samples.mean(0) - mean) / (variances / N).sqrt()
    off_cov = (samples.T.cov() - cov) / ((variances[:, None] * variances + cov.square()) / (N - 1)).sqrt()
    return max(off_mean.abs().max().item(), off_cov.abs().max().item())

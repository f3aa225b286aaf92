import pytest
import torch

from posteriori.priors.gaussian import LowRankGaussian
from posteriori.priors.mixture import GaussianMixture
from posteriori.schedule import Level

SHAPE = (3, 2, 2)


def prior() -> LowRankGaussian:
    """In float64: with float32's rounding the third axis would no longer have variance 0, which sigma = 1e-3 sees."""
    axes = torch.linalg.qr(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)).double())[0]
    mean, variances = torch.linspace(-1, 1, 12).double().view(SHAPE), torch.tensor([2.0, 0.5, 0.0]).double()
    return LowRankGaussian(mean, axes, variances, 0.1)


def covariance(p: LowRankGaussian) -> torch.Tensor:
    return p.rest * torch.eye(12, dtype=p.axes.dtype) + p.axes @ torch.diag(p.variances - p.rest) @ p.axes.T


@pytest.mark.parametrize(
    "level", [Level(300, 0.8, 0.6), Level(999, 0.01, 1.0), Level(1, 1.0, 1e-3), Level(0, 1.0, 0.0)]
)
def test_it_is_the_mixture_of_one_component(level):
    p = prior()
    full = GaussianMixture(p.mean[None], covariance(p)[None])
    x_t = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(p.denoise(x_t, level).x0, full.denoise(x_t, level).x0, rtol=1e-4, atol=1e-5)


def test_fit_has_the_sample_moments():
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(11, *SHAPE, generator=generator) * torch.linspace(0.1, 2, 12).view(SHAPE) + 0.3
    p = LowRankGaussian.fit(images, rank=10)  # as many axes as 11 images span: the covariance itself
    sample = torch.cov(images.flatten(1).T, correction=0)
    torch.testing.assert_close(p.mean, images.mean(0))
    torch.testing.assert_close(covariance(p), sample, rtol=1e-4, atol=1e-5)
    low = LowRankGaussian.fit(images, rank=2)
    torch.testing.assert_close(low.variances, torch.linalg.eigvalsh(sample).flip(0)[:2], rtol=1e-4, atol=1e-5)
    assert covariance(low).trace().item() == pytest.approx(sample.trace().item(), rel=1e-4)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="rank is 3"):
        LowRankGaussian.fit(torch.zeros(3, *SHAPE), rank=3)
    with pytest.raises(ValueError, match="axes are"):
        LowRankGaussian(torch.zeros(SHAPE), torch.zeros(11, 2), torch.ones(2), 0.1)
    with pytest.raises(ValueError, match="negative"):
        LowRankGaussian(torch.zeros(SHAPE), torch.zeros(12, 1), -torch.ones(1), 0.1)

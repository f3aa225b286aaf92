"""The adapter, on a stand-in with the interface of deepinv's Physics and LinearPhysics."""

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import IMAGE, dense, image_mixture, normal
from torch import nn

import posteriori
from posteriori.likelihoods.base import Linear
from posteriori.loop import sample
from posteriori.operators.linear import LinearOperator
from posteriori.samplers import DPS, DiffPIR


class GaussianNoise(nn.Module):
    def __init__(self, sigma=0.1):
        super().__init__()
        self.register_buffer("sigma", torch.as_tensor(sigma, dtype=torch.float32))

    def forward(self, x):
        return x + self.sigma * torch.randn_like(x)


class ZeroNoise(nn.Module):
    def forward(self, x):
        return x


class PoissonNoise(nn.Module):
    pass


class Physics(nn.Module):
    def __init__(self, noise_model=None):
        super().__init__()
        self.noise_model = noise_model or ZeroNoise()

    def forward(self, x, **kwargs):
        return self.noise_model(self.A(x, **kwargs))

    def A(self, x, **kwargs):
        return x.sin()


class Blur(Physics):
    """Rows of three pixels; its buffers are float32, as deepinv's are."""

    def __init__(self, noise_model=None, factor=1.0):
        super().__init__(noise_model)
        self.register_buffer("filter", torch.tensor([0.2, 0.5, 0.3]).expand(3, 1, 1, 3))
        self.factor = factor

    def A(self, x, **kwargs):
        return F.conv2d(x, self.filter, groups=3)

    def A_adjoint(self, y, **kwargs):
        return self.factor * F.conv_transpose2d(y, self.filter, groups=3)


def test_ranges_and_sigma_are_converted():
    """On [0, 1] and on [-1, 1] the same measurement has the same residual."""
    physics = Blur(GaussianNoise(0.03))
    adapted = posteriori.from_deepinv(physics, IMAGE)
    x01 = torch.rand(2, *IMAGE, generator=torch.Generator().manual_seed(0))
    y = physics.A(x01) + 0.03 * normal(2, 3, 8, 6)
    like = adapted.likelihood(y)
    assert isinstance(like, Linear)
    assert adapted.sigma == pytest.approx(0.06)
    expected = ((y - physics.A(x01)) / 0.03).flatten(1)
    torch.testing.assert_close(like.residual(2 * x01 - 1), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(adapted.image(2 * x01 - 1), x01)


def test_prox_is_stationary():
    A = posteriori.from_deepinv(Blur(), IMAGE).operator
    assert isinstance(A, LinearOperator)
    z, y = normal(2, *IMAGE), normal(2, 3, 8, 6, seed=1)
    x, matrix = A.prox(z, y, 0.1).flatten(1).double(), dense(A)
    z, y = z.flatten(1).double(), y.flatten(1).double()
    slope, at_z = (((v @ matrix.T - y) @ matrix + 0.1 * (v - z)).norm(dim=1) for v in (x, z))
    assert (slope < 2e-5 * at_z).all()


def test_a_nonlinear_physics_sees_0_to_1():
    physics = Physics(GaussianNoise(0.03))
    adapted = posteriori.from_deepinv(physics, IMAGE)
    x01 = torch.rand(2, *IMAGE, generator=torch.Generator().manual_seed(0))
    assert adapted.sigma == pytest.approx(0.03)
    torch.testing.assert_close(adapted.operator(2 * x01 - 1), x01.sin(), atol=1e-6, rtol=0)
    assert adapted.likelihood(x01.sin()).misfit(2 * x01 - 1).abs().max() < 1e-6


@pytest.mark.parametrize("physics", [Physics(GaussianNoise(0.05)), Blur(GaussianNoise(0.05))], ids=["sin", "blur"])
def test_samplers_take_it(physics):
    prior = image_mixture()
    adapted = posteriori.from_deepinv(physics, IMAGE)
    truth = prior.draw(2).float()
    y = physics.A(adapted.image(truth))
    samplers = [DPS(steps=5)] + ([DiffPIR(steps=20)] if isinstance(physics, Blur) else [])
    for sampler in samplers:
        x = sample(prior, adapted.likelihood(y), sampler, progress=False)
        assert torch.isfinite(x).all()
    if isinstance(physics, Blur):
        assert (x[:, 0] - truth).square().mean() < 0.3 * truth.square().mean()


class Wrong(Blur):
    def A(self, x, **kwargs):
        return [x]


class Spectrum(Blur):
    def A(self, x, **kwargs):
        return torch.fft.fft2(x)


@pytest.mark.parametrize(
    ("physics", "message"),
    [
        (Blur(PoissonNoise()), "the physics has PoissonNoise: GaussianNoise and ZeroNoise are converted"),
        (Blur(GaussianNoise([0.1, 0.2])), "2 noise levels: give one"),
        (Blur(factor=1.1), "adjoint.* is not the adjoint of A"),
        (Wrong(), "Wrong gives list: only physics of one tensor of real numbers"),
        (Spectrum(), "Spectrum gives complex64"),
    ],
)
def test_what_cannot_be_taken_is_one_line(physics, message):
    with pytest.raises(ValueError, match=message) as error:
        posteriori.from_deepinv(physics, IMAGE)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"Blur fails for \(2, 1, 8, 8\): RuntimeError"):
        posteriori.from_deepinv(Blur(), (1, 8, 8))

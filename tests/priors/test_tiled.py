import pytest
import torch
from diffusers.models.unets.unet_2d import UNet2DModel

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import GaussianBlur
from posteriori.priors.tiled import Tiled
from posteriori.priors.unet import PixelUNet, UNetPrior
from posteriori.samplers import DPS
from posteriori.schedule import linear_betas

LEVEL = linear_betas().level(60)


@pytest.fixture(scope="module")
def prior():
    """A random convolutional network of stride 4, without the group norms that see a whole image."""
    torch.manual_seed(0)
    net = UNet2DModel(
        sample_size=16,
        in_channels=12,
        out_channels=12,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        layers_per_block=1,
        add_attention=False,
    )
    for module in net.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.forward = lambda x: x
    return UNetPrior(PixelUNet(net, 2), linear_betas(), (3, 16, 16), name="random")


def image(height, width):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_one_tile_is_the_network_itself(prior):
    x = image(24, 32)
    expected = prior.at((24, 32)).denoise(x, LEVEL).x0
    torch.testing.assert_close(Tiled(prior, (3, 24, 32), tile=64).denoise(x, LEVEL).x0, expected)


@pytest.mark.parametrize("size", [(23, 30), (17, 64), (5, 5)])
def test_any_size_is_mirrored_to_a_multiple_of_the_stride(prior, size):
    tiled = prior.at(size)
    assert tiled.shape == (3, *size)
    assert tiled.denoise(image(*size), LEVEL).x0.shape == (2, 3, *size)


def test_far_from_a_tiles_sides_the_network_sees_what_it_would_see_in_the_whole(prior):
    """Without group norms only the sides differ, and the sides weigh least."""
    x = image(96, 160)
    whole = prior.at((96, 160)).denoise(x, LEVEL).x0
    tiled = Tiled(prior, (3, 96, 160), tile=80, overlap=48)
    assert tiled.tiles == 2 * 4
    error = (tiled.denoise(x, LEVEL).x0 - whole).abs()
    assert error.mean() < 0.01 * whole.std()
    coarse = Tiled(prior, (3, 96, 160), tile=80, overlap=0)
    assert error.mean() < 0.5 * (coarse.denoise(x, LEVEL).x0 - whole).abs().mean()


def test_a_denoiser_that_changes_nothing_is_seen_without_seams(prior, monkeypatch):
    """Blending weights sum to one everywhere."""
    from posteriori.priors.base import Denoised

    monkeypatch.setattr(prior, "denoise", lambda x, t: Denoised(x))
    x = image(70, 131)
    assert torch.allclose(Tiled(prior, (3, 70, 131), tile=32, overlap=8).denoise(x, LEVEL).x0, x, atol=1e-6)


def test_the_gradient_through_tiles_is_that_of_the_tiles(prior):
    """Recomputing a tile's activations saves memory and changes no number."""
    x = image(40, 40)[:1].requires_grad_()
    tiled = Tiled(prior, (3, 40, 40), tile=24, overlap=8)
    (g,) = torch.autograd.grad(tiled.denoise(x, LEVEL).x0.square().sum(), x)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    h = 1e-2
    up, down = (tiled.denoise(x.detach() + s * h * v, LEVEL).x0.square().sum() for s in (1, -1))
    assert float((g * v).sum()) == pytest.approx(float((up - down) / (2 * h)), rel=2e-2)


def test_a_picture_of_any_size_is_sampled_with_every_tile_in_every_step(prior):
    operator = GaussianBlur((3, 30, 45), sigma=1.0)
    y = Gaussian.simulate(image(30, 45), operator, 0.05).y
    tiled = Tiled(prior, (3, 30, 45), tile=24, overlap=8)
    x = sample(tiled, Gaussian(y, operator, 0.05), DPS(steps=2), progress=False)
    assert x.shape == (2, 1, 3, 30, 45)
    assert torch.isfinite(x).all()


def test_too_small_a_picture_is_refused(prior):
    with pytest.raises(ValueError, match="2 x 2 pixels are too few for random: give 4 a side"):
        prior.at(2)


def test_a_network_with_attention_takes_multiples_of_its_stride_only():
    net = UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    prior = UNetPrior(PixelUNet(net), linear_betas(), (3, 16, 16))
    with pytest.raises(ValueError, match="multiples of 2, got 9 x 9"):
        prior.at(9)


def test_tiles_go_through_the_network_together_to_the_same_end(prior):
    x, calls = image(96, 160), []
    alone = Tiled(prior, (3, 96, 160), tile=48, overlap=16, together=1)
    many = Tiled(prior, (3, 96, 160), tile=48, overlap=16, together=7)
    expected = alone.denoise(x, LEVEL).x0
    forward = prior.net.net.forward
    prior.net.net.forward = lambda x, *given, **named: (calls.append(len(x)), forward(x, *given, **named))[1]
    try:
        torch.testing.assert_close(many.denoise(x, LEVEL).x0, expected, atol=1e-5, rtol=1e-5)
    finally:
        prior.net.net.forward = forward
    assert sum(calls) == 2 * many.tiles
    assert max(calls) == 6, "three tiles of two images"

"""The own U-Net is diffusers': the names of its weights, its values and its gradients, to rounding."""

import json
import random

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.unets.unet_2d import UNet2DModel
from safetensors.torch import load_file

from posteriori.hub.convert import unet_config
from posteriori.hub.load import EMBEDDED, embedded
from posteriori.hub.stored import WEIGHTS
from posteriori.priors.unet2d import DEFAULTS, UNet2D, attended, is_known


def both(config, state=None):
    with torch.device("meta"):
        nets = UNet2D(config), UNet2DModel(**config)
    state = state or {k: _random(k, v) for k, v in nets[1].state_dict().items()}
    for net in nets:
        net.load_state_dict(state, assign=True)
        net.eval().requires_grad_(False)
    return nets


def _random(name, like):
    """No weight at its initial value: a norm's is 1, and its bias 0, in which mistakes would not show."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    noise = torch.randn(like.shape, generator=generator)
    return noise / noise[0].numel() ** 0.5 if noise.ndim > 1 else 0.3 * noise + name.endswith("weight")


def value_and_gradient(net, time, x, g):
    x = x.detach().requires_grad_()
    value = net(x, time, return_dict=False)[0]
    return value.detach(), torch.autograd.grad(value, x, g)[0]


def assert_equal(ours, theirs, config, size):
    generator = torch.Generator().manual_seed(0)
    x, g = (torch.randn(2, config[f"{end}_channels"], size, size, generator=generator) for end in ("in", "out"))
    for time in (torch.tensor([7.5, 300.0]), torch.tensor([300.0])):
        found, expected = (value_and_gradient(net, time, x, g) for net in (ours, theirs))
        for f, e in zip(found, expected, strict=True):
            torch.testing.assert_close(f, e, rtol=0, atol=2e-5 * e.abs().max().item())


@pytest.mark.parametrize("name", embedded())
def test_every_embedded_prior(name):
    config = json.loads((EMBEDDED / name / "config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    state = {k: v.float() for k, v in load_file(EMBEDDED / name / WEIGHTS).items()}
    assert_equal(*both(config, state), config, size=16)


def drawn(seed):
    """A small configuration, at random among those that are known."""
    pick = random.Random(seed)
    levels = pick.choice((2, 3))
    return {
        "in_channels": 3,
        "out_channels": pick.choice((3, 6)),
        "block_out_channels": tuple(8 * pick.randint(1, 2) for _ in range(levels)),
        "down_block_types": tuple(
            pick.choice(("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D")) for _ in range(levels)
        ),
        "up_block_types": tuple(
            pick.choice(("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")) for _ in range(levels)
        ),
        "layers_per_block": pick.choice((1, 2)),
        "mid_block_scale_factor": pick.choice((1, 2**0.5)),
        "downsample_type": pick.choice(("conv", "resnet")),
        "upsample_type": pick.choice(("conv", "resnet")),
        "attention_head_dim": pick.choice((4, 8)),
        "norm_num_groups": pick.choice((2, 4)),
        "attn_norm_num_groups": pick.choice((2, 8)),
        "norm_eps": pick.choice((1e-5, 1e-2)),
        "resnet_time_scale_shift": pick.choice(("default", "scale_shift")),
        "add_attention": pick.choice((True, False)),
        "time_embedding_dim": pick.choice((None, 24)),
        "flip_sin_to_cos": pick.choice((True, False)),
        "freq_shift": pick.choice((0, 1)),
    }


@pytest.mark.parametrize("seed", range(12))
def test_small_networks_of_drawn_configurations(seed):
    config = drawn(seed)
    assert is_known(config)
    assert_equal(*both(config), config, size=8)


def test_the_defaults_are_diffusers():
    theirs = UNet2DModel(block_out_channels=(32, 32, 32, 32)).config
    assert {k: v for k, v in theirs.items() if not k.startswith("_")} == DEFAULTS | {
        "block_out_channels": (32, 32, 32, 32)
    }
    assert is_known(theirs)


def test_the_networks_of_guided_diffusion_are_known(adm_small):
    assert is_known(unet_config(adm_small.flags))


@pytest.mark.parametrize(
    "change",
    [
        {"act_fn": "gelu"},
        {"time_embedding_type": "fourier"},
        {"center_input_sample": True},
        {"mid_block_type": None},
        {"down_block_types": ("SkipDownBlock2D",) * 4},
        {"up_block_types": ("SkipUpBlock2D",) * 4},
        {"downsample_padding": 0},
        {"num_class_embeds": 10},
        {"attention_head_dim": None},
        {"norm_num_groups": None},
        {"resnet_time_scale_shift": "scale_shift"},  # whose attention in the middle has no norm
        {"block_out_channels": (32, 32)},
        {"an_argument_to_come": 1},
    ],
    ids=str,
)
def test_what_is_not_known_is_left_to_diffusers(change):
    assert is_known({})
    assert not is_known(change)


def test_attention_of_a_training_step_is_torchs_up_to_rounding():
    generator = torch.Generator().manual_seed(0)
    *given, g = torch.randn(4, 2, 3, 64, 32, generator=generator, dtype=torch.bfloat16)

    def value_and_gradients(f, dtype):
        qkv = [x.to(dtype).requires_grad_() for x in given]
        y = f(*qkv)
        return y.detach(), *torch.autograd.grad(y, qkv, g.to(dtype))

    exact = value_and_gradients(F.scaled_dot_product_attention, torch.float64)
    for dtype, limit in ((torch.float64, 1e-14), (torch.bfloat16, 0.01)):  # rounding once gives 1.7e-3
        for found, expected in zip(value_and_gradients(attended, dtype), exact, strict=True):
            assert (found.double() - expected).norm() < limit * expected.norm()


def test_it_trains_in_bfloat16_as_it_runs():
    config = json.loads((EMBEDDED / "faces-64" / "config.json").read_text())
    net = UNet2D(config)
    net.load_state_dict({k: _random(k, v) for k, v in net.state_dict().items()})
    x = torch.randn(1, config["in_channels"], 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        trains, runs = (net.train(mode)(x, torch.tensor([300.0]))[0] for mode in (True, False))
    assert 0 < (trains - runs).norm() < 0.03 * runs.norm()

"""The network's prediction becomes x_0 at every level; 16-bit arithmetic stays close."""

import math

import pytest
import torch
from torch import nn

from posteriori.priors.unet import PixelUNet, UNetPrior, auto_dtype
from posteriori.schedule import CLEAN, Level, linear_betas

SCHEDULE = linear_betas()
VE = Level(0.0, 1.0, 0.7)


class Fake(nn.Module):
    """Answers 0.3 x + 0.1, with a learned variance of 0.5 where asked, and notes what it was asked."""

    def __init__(self, learned=False):
        super().__init__()
        self.config = {"block_out_channels": (8, 8), "in_channels": 3, "out_channels": 6 if learned else 3}
        self.learned = learned

    def forward(self, x, time, return_dict):
        self.x, self.time = x, time
        out = 0.3 * x + 0.1
        return (torch.cat([out, torch.full_like(out, 0.5)], 1) if self.learned else out,)


def prior(prediction="epsilon", learned=False):
    return UNetPrior(PixelUNet(Fake(learned)), SCHEDULE, (3, 8, 8), prediction=prediction)


def noisy(seed=0):
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


LEVELS = [SCHEDULE.level(t) for t in (1, 18, 500, 1000)] + [SCHEDULE.level(250.5), VE, Level(0.0, 1.0, 5.0)]


@pytest.mark.parametrize("t", LEVELS, ids=lambda t: f"{t.t:g}-{t.sigma:.2f}")
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_x0_is_the_hand_formula(t, prediction):
    x_t = noisy()
    norm = math.sqrt(t.alpha**2 + t.sigma**2)
    out = 0.3 * x_t / norm + 0.1
    x0 = {
        "epsilon": (x_t - t.sigma * out) / t.alpha,
        "v_prediction": (t.alpha / norm) * (x_t / norm) - (t.sigma / norm) * out,
        "sample": out,
    }[prediction]
    torch.testing.assert_close(prior(prediction).denoise(x_t, t).x0, x0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_perfect_network_gives_back_the_image(prediction):
    """Noise an image at a trained level: the true eps or v leads to that image, VP or VE."""
    image, eps = noisy(1), noisy(2)
    trained = SCHEDULE.level(400)
    answer = {"epsilon": eps, "v_prediction": trained.alpha * eps - trained.sigma * image}[prediction]
    perfect = prior(prediction)
    perfect.net.net.forward = lambda x, time, return_dict: (answer,)
    ve = Level(0.0, 1.0, trained.sigma / trained.alpha)
    for t in (trained, ve):
        torch.testing.assert_close(perfect.denoise(t.alpha * image + t.sigma * eps, t).x0, image)


@pytest.mark.parametrize("t", [1, 18, 501, 1000])
def test_trained_levels_have_their_exact_times(t):
    asked, x_t = prior(), noisy()
    asked.denoise(x_t, SCHEDULE.level(t))
    assert asked.net.net.time.tolist() == [t - 1.0]
    torch.testing.assert_close(asked.net.net.x, x_t)


def test_other_levels_are_rescaled_and_lie_between_trained_ones():
    asked, x_t = prior(), noisy()
    asked.denoise(x_t, VE)
    torch.testing.assert_close(asked.net.net.x, x_t / math.sqrt(1.49))
    time = asked.net.net.time[0].item()
    below, above = (SCHEDULE.level(math.floor(time) + i) for i in (1, 2))
    assert below.sigma / below.alpha < 0.7 < above.sigma / above.alpha
    between = [math.log(level.sigma / level.alpha) for level in (below, above)]
    assert time % 1 == pytest.approx((math.log(0.7) - between[0]) / (between[1] - between[0]), rel=1e-3)


def test_below_the_first_level_time_stays_and_sigma_is_true():
    asked, x_t = prior(), noisy()
    x0 = asked.denoise(x_t, Level(0.0, 1.0, 1e-4)).x0
    assert asked.net.net.time.tolist() == [0.0]
    torch.testing.assert_close(x0, x_t - 1e-4 * (0.3 * x_t + 0.1))


def test_without_noise_the_image_is_itself():
    x_t = noisy()
    assert torch.equal(prior().denoise(x_t, CLEAN).x0, x_t)
    assert torch.equal(prior().denoise(x_t, Level(0.0, 0.5, 0.0)).x0, x_t * 2)


@pytest.mark.parametrize("t", [Level(0.0, 1.0, 200.0), Level(0.0, 0.0, 1.0)])
def test_above_the_last_level_it_raises(t):
    with pytest.raises(ValueError, match="the prior was trained up to 157"):
        prior().denoise(noisy(), t)


def test_learned_variance_is_a_fraction():
    answer = prior(learned=True).denoise(noisy(), SCHEDULE.level(500))
    assert answer.x0.shape == answer.variance_fraction.shape == (2, 3, 8, 8)
    assert (answer.variance_fraction == 0.75).all()
    assert prior().denoise(noisy(), SCHEDULE.level(500)).variance_fraction is None


def test_another_size_shares_the_weights():
    small = prior()
    large = small.at((16, 32))
    assert (small.shape, large.shape) == ((3, 8, 8), (3, 16, 32))
    assert large.net is small.net
    with pytest.raises(ValueError, match="multiples of 2, got 9 x 9"):
        small.at(9)


@pytest.mark.parametrize("t", [17, 500, 999])
def test_bfloat16_is_close_to_float32(adm_small, network, t, capfd):
    """Within 4 % of the output's size (random weights; 2.6 % measured), and nothing on stderr."""
    level = SCHEDULE.level(t + 1)
    x_t = adm_small.io["x"].contiguous()
    eps = {}
    for dtype in (torch.float32, torch.bfloat16):
        rounded = UNetPrior(network(adm_small.state, adm_small.flags), SCHEDULE, (3, 64, 64), dtype=dtype)
        x0 = rounded.denoise(x_t, level).x0
        assert x0.dtype == torch.float32
        eps[dtype] = (x_t - level.alpha * x0) / level.sigma
    error = (eps[torch.bfloat16] - eps[torch.float32]).square().mean().sqrt()
    assert error < 0.04 * eps[torch.float32].square().mean().sqrt()
    assert capfd.readouterr().err == ""


def test_the_ends_of_a_16_bit_network_are_float32(adm_small, network):
    rounded = UNetPrior(network(adm_small.state, adm_small.flags), SCHEDULE, (3, 64, 64), dtype=torch.bfloat16)
    seen = {}
    net = rounded.net.net
    for name in ("conv_in", "time_embedding", "conv_out"):
        getattr(net, name).register_forward_hook(lambda _, args, out, name=name: seen.update({name: args[0].dtype}))
    net.mid_block.register_forward_hook(lambda _, args, out: seen.update(mid=out.dtype))
    rounded.denoise(adm_small.io["x"], SCHEDULE.level(1000))
    assert seen == dict.fromkeys(["conv_in", "time_embedding", "conv_out"], torch.float32) | {"mid": torch.bfloat16}


@pytest.mark.parametrize(
    ("has", "torch_may", "onednn_may", "expected"),
    [
        ({"avx512_bf16": True}, "AVX512", "", torch.bfloat16),
        ({"amx_bf16": True}, "AVX512", "default", torch.bfloat16),
        ({"avx512_bf16": True}, "AVX512", "AVX512_CORE_BF16", torch.bfloat16),
        ({"avx512_bf16": False}, "AVX512", "", torch.float32),
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, "AVX512", "", torch.bfloat16),
        ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, "AVX512", "", torch.float32),
        ({"amx_bf16": True, "avx512_bf16": True, "cpu_name": "Intel Xeon"}, "AVX512", "", torch.bfloat16),
        ({"avx512_bf16": True}, "AVX2", "", torch.float32),
        ({"avx512_bf16": True}, "AVX512", "avx2", torch.float32),
        ({"avx512_bf16": True, "amx_bf16": True}, "AVX512", "AVX512_CORE_VNNI", torch.float32),
    ],
)
def test_auto_is_what_the_processor_has_and_the_libraries_may_use(has, torch_may, onednn_may, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: torch_may)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", onednn_may)
    assert auto_dtype("cpu") == expected
    assert auto_dtype("meta") == torch.float32


def test_it_says_what_its_network_is():
    assert (prior().learned_variance, prior(learned=True).learned_variance) == (False, True)
    assert (prior().stride, prior().tiles) == (2, 1)

import math
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from posteriori.kernels import bridge, forward, implicit, reverse, small_std
from posteriori.schedule import CLEAN, Level
from tests.helpers import LINEAR, normal

ONE = torch.ones(1, 1, dtype=torch.float64)
ZERO = torch.zeros(1, 1, dtype=torch.float64)
VP = (LINEAR.level(700), LINEAR.level(650))
VE = (Level(0, 1.0, 3.0), Level(0, 1.0, 2.0))
OTHER = (Level(0, 0.5, 2.0), Level(0, 0.8, 0.7))


def double(scheduler):
    """``scheduler`` in float64: the formulas are compared, not float32's rounding of alpha_bar."""
    scheduler.alphas_cumprod = torch.from_numpy(LINEAR.alpha_bar[1:])
    return scheduler


def network(x, t):
    """Any smooth eps; a learned variance in [-1, 1] beside it."""
    return 0.9 * x + 0.3 * torch.sin(3 * x + t.t / 100), torch.cos(5 * x)


def x0_of(x, eps, t):
    return (x - t.sigma * eps) / t.alpha


@pytest.mark.parametrize("steps", [50, 1000])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_equals_diffusers(steps, eta):
    theirs = double(DDIMScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=False, timestep_spacing="leading"))
    theirs.set_timesteps(steps)
    path = LINEAR.path(steps, "leading")
    assert theirs.timesteps.tolist() == [t.t - 1 for t in path[:-1]]
    x = normal(4, 3, dtype=torch.float64)
    for k, (t, s) in enumerate(pairwise(path)):
        noise = normal(4, 3, seed=k, dtype=torch.float64)
        eps, _ = network(x, t)
        expected = theirs.step(eps, int(t.t - 1), x, eta=eta, variance_noise=noise).prev_sample
        x = reverse(x, x0_of(x, eps, t), t, s, lambda noise=noise: noise, eta=eta, variance="small")
        torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("steps", [50, 1000])
@pytest.mark.parametrize(
    ("variance", "name"), [("small", "fixed_small"), ("large", "fixed_large"), ("learned", "learned_range")]
)
def test_ddpm_equals_diffusers(steps, variance, name):
    theirs = double(DDPMScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=False, variance_type=name))
    path = LINEAR.path(steps)
    theirs.set_timesteps(timesteps=[int(t.t - 1) for t in path[:-1]])
    x = normal(4, 3, dtype=torch.float64)
    for k, (t, s) in enumerate(pairwise(path)):
        eps, v = network(x, t)
        out = torch.cat([eps, v], 1) if variance == "learned" else eps
        rng = torch.Generator().manual_seed(k)
        expected = theirs.step(out, int(t.t - 1), x, generator=rng).prev_sample
        noise = normal(4, 3, seed=k, dtype=torch.float64)
        x0 = x0_of(x, eps, t)
        x = reverse(x, x0, t, s, lambda noise=noise: noise, variance=variance, fraction=(v + 1) / 2)
        torch.testing.assert_close(x, expected, atol=1e-5, rtol=1e-5)


def parts(t, s, **choice):
    """The coefficients of x_0, of eps in x_t = alpha x_0 + sigma eps, and of fresh noise in x_s."""
    mean_x0 = reverse(forward(ONE, t, ZERO), ONE, t, s, lambda: ZERO, **choice)
    mean_eps = reverse(forward(ZERO, t, ONE), ZERO, t, s, lambda: ZERO, **choice)
    std = reverse(ZERO, ZERO, t, s, lambda: ONE, **choice)
    return mean_x0.item(), mean_eps.item(), std.item()


@pytest.mark.parametrize(("t", "s"), [VP, VE, OTHER])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_step_keeps_the_forward_marginal(t, s, eta):
    # given the true x_0, x_s ~ N(alpha_s x_0, sigma_s^2 I) for every eta
    a, b, std = parts(t, s, eta=eta, variance="small")
    assert a == pytest.approx(s.alpha)
    assert math.hypot(b, std) == pytest.approx(s.sigma)
    v_up = t.sigma**2 - (t.alpha / s.alpha * s.sigma) ** 2
    assert std == pytest.approx(eta * math.sqrt(v_up) * s.sigma / t.sigma)


@pytest.mark.parametrize(("t", "s"), [VP, VE, OTHER])
def test_any_std_keeps_the_forward_marginal(t, s):
    for std in (0.0, small_std(t, s), 0.9 * s.sigma, s.sigma):
        x0_part = implicit(forward(ONE, t, ZERO), ONE, t, s, std, lambda: ZERO).item()
        eps_part = implicit(forward(ZERO, t, ONE), ZERO, t, s, std, lambda: ZERO).item()
        drawn = implicit(ZERO, ZERO, t, s, std, lambda: ONE).item()
        assert (x0_part, drawn) == pytest.approx((s.alpha, std))
        assert math.hypot(eps_part, drawn) == pytest.approx(s.sigma)


@pytest.mark.parametrize(("t", "s"), [VP, VE, OTHER])
def test_upwards_and_in_two_steps(t, s):
    assert forward(forward(ONE, s, ZERO), t, ZERO, s).item() == pytest.approx(t.alpha)
    assert math.hypot(forward(forward(ZERO, s, ONE), t, ZERO, s), forward(ZERO, t, ONE, s)) == pytest.approx(t.sigma)


def test_variances_share_the_mean_and_are_ordered():
    t, s = VP
    small = parts(t, s, variance="small")
    large = parts(t, s, variance="large")
    assert small[:2] == pytest.approx(large[:2])
    beta = 1 - (t.alpha / s.alpha) ** 2
    assert large[2] == pytest.approx(math.sqrt(beta))
    for f, std in ((0.0, small[2]), (1.0, large[2]), (0.5, math.sqrt(small[2] * large[2]))):
        learned = parts(t, s, variance="learned", fraction=f * ONE)
        assert learned == pytest.approx((*small[:2], std))


def test_two_steps_of_a_gaussian():
    # with x_0 ~ N(0, c) and exact draws of x_0 given x_t, the chain keeps every marginal: alpha^2 c + sigma^2
    c, levels = 0.3, [LINEAR.level(t) for t in (900, 600, 100)]
    variance = levels[0].alpha ** 2 * c + levels[0].sigma ** 2
    for t, s in pairwise(levels):
        gain = t.alpha * c / variance
        x0_part = reverse(ZERO, ONE, t, s, lambda: ZERO).item()
        x_part = reverse(ONE, ZERO, t, s, lambda: ZERO).item()
        std = reverse(ZERO, ZERO, t, s, lambda: ONE).item()
        left = c - gain * t.alpha * c
        variance = (x_part + x0_part * gain) ** 2 * variance + x0_part**2 * left + std**2
        assert variance == pytest.approx(s.alpha**2 * c + s.sigma**2)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.85, 1.0])
def test_drawing_a_share_of_every_levels_noise_loses_variance(share):
    # the prior N(0, c) through E[x_0 | x_t] = gain x_t, from T down: DDRM's eta, the root of DiffPIR's zeta
    c, variance = 0.3, 1.0
    for t, s in pairwise(LINEAR.path(1000)):
        gain = t.alpha * c / (t.alpha**2 * c + t.sigma**2)
        kept = implicit(ONE, gain * ONE, t, s, share * s.sigma, lambda: ZERO).item()
        variance = kept**2 * variance + (share * s.sigma) ** 2
    assert variance == pytest.approx(c * (1 + math.sqrt(1 - share**2)) / 2, rel=0.02)


def test_auto():
    t, s = VP
    f = 0.25 * ONE
    assert parts(t, s, fraction=f) == parts(t, s, variance="learned", fraction=f)
    assert parts(t, s) == parts(t, s, variance="small")
    assert parts(t, s, fraction=f, eta=0.5) == parts(t, s, variance="small", eta=0.5)
    assert parts(*VE, fraction=f) == parts(*VE, variance="small")


@pytest.mark.parametrize("variance", ["auto", "small", "large", "learned"])
def test_into_clean_draws_nothing(variance):
    def noise():
        raise AssertionError("drew noise")

    x, x0 = normal(2, 3), normal(2, 3, seed=1)
    for eta in (0.0, 1.0) if variance in ("auto", "small") else (1.0,):
        out = reverse(
            x, x0, LINEAR.level(1), CLEAN, noise, variance=variance, eta=eta, fraction=torch.full((2, 3), 0.5)
        )
        torch.testing.assert_close(out, x0, atol=0, rtol=0)
    reverse(x, x0, *VP, noise, eta=0.0)  # deterministic


@pytest.mark.parametrize("variance", ["large", "learned"])
def test_large_and_learned_are_ddpms(variance):
    x = normal(1, 3)
    f = torch.full_like(x, 0.5)
    with pytest.raises(ValueError, match=r"needs eta = 1, got eta = 0\.5"):
        reverse(x, x, *VP, lambda: x, variance=variance, eta=0.5, fraction=f)
    with pytest.raises(ValueError, match="variance-preserving levels only"):
        reverse(x, x, *VE, lambda: x, variance=variance, fraction=f)
    with pytest.raises(ValueError, match="variance-preserving levels only"):
        reverse(x, x, VE[0], CLEAN, lambda: x, variance=variance, fraction=f)


def test_learned_needs_a_fraction():
    x = normal(1, 3)
    with pytest.raises(ValueError, match="needs a prior that learned its variance"):
        reverse(x, x, *VP, lambda: x, variance="learned")


@pytest.mark.parametrize(
    ("t", "s", "r"),
    [
        (LINEAR.level(900), LINEAR.level(400), LINEAR.level(50)),
        (LINEAR.level(400), LINEAR.level(50), CLEAN),
        (Level(3, 1.0, 5.0), Level(2, 1.0, 2.0), Level(1, 1.0, 0.5)),
        (Level(1.0, 0.0, 1.0), Level(0.5, 0.5, 0.5), Level(0.1, 0.9, 0.1)),
    ],
)
def test_the_bridge_is_the_conditional_law_of_the_forward_process(t, s, r):
    """With x_r ~ N(0, 1): the covariance of (x_r, x_s, x_t), and Gaussian conditioning."""
    b, a = s.alpha / r.alpha, t.alpha / s.alpha
    v, u = s.sigma**2 - (b * r.sigma) ** 2, t.sigma**2 - (a * s.sigma) ** 2
    var_s, both = b**2 + v, torch.tensor([[1.0, a * b], [a * b, a**2 * (b**2 + v) + u]], dtype=torch.float64)
    with_s = torch.tensor([b, a * (b**2 + v)], dtype=torch.float64)
    weights = torch.linalg.solve(both, with_s)
    x_r, x_t = normal(2, 3, seed=1).double()
    mean, std = bridge(x_t, x_r, t, s, r)
    torch.testing.assert_close(mean, weights[0] * x_r + weights[1] * x_t)
    assert std**2 == pytest.approx(var_s - (weights * with_s).sum().item())

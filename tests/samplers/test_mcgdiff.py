import math

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense, Mask
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import MCGDiff, mcgdiff
from posteriori.samplers.particles import Resampled
from posteriori.schedule import CLEAN
from tests.helpers import LINEAR, covariance, normal

PRIOR = GaussianMixture(normal(1, 4, seed=1), covariance(4)[None])
T, S = LINEAR.level(600), LINEAR.level(500)  # sigma / alpha is 6.1 and 3.4
STD = [0.5, 4.0, 8.0, math.inf]  # of the coordinates: near y at both levels, crossing between them, not yet there, none
Y = normal(3, seed=3, dtype=torch.float64)
N = 5
NOISE = normal(N, 4, seed=5, dtype=torch.float64)


def normal_product(*factors):
    """Mean and variance of the normalised product of N(mean, variance)."""
    precision = sum(1 / variance for _, variance in factors)
    return sum(mean / variance for mean, variance in factors) / precision, 1 / precision


def log_normal(x, mean, variance):
    return -0.5 * ((x - mean) ** 2 / variance + math.log(2 * math.pi * variance))


def measured(stds=STD[:3]):
    """Coordinates y of these noises."""
    s = 1 / torch.tensor(stds, dtype=torch.float64)
    return Gaussian((s * Y)[None], Dense((4,), torch.diag_embed(s) @ torch.eye(3, 4, dtype=torch.float64)), 1.0)


@pytest.fixture
def log_weights(monkeypatch):
    """What particles weigh at every step, in which all of them are kept."""
    recorded = []

    def keep(log_w, n, rng, *, last):
        recorded.append(log_w)
        return Resampled(torch.arange(n), torch.zeros_like(log_w), torch.full_like(log_w, n))

    monkeypatch.setattr(mcgdiff, "resample", keep)
    return recorded


@pytest.mark.parametrize("s", [S, CLEAN], ids=["below", "clean"])
def test_a_step_is_the_papers_coordinate_by_coordinate(s, log_weights):
    x_t = normal(N, 4, seed=4, dtype=torch.float64)
    state = State(x_t, T, N, carry=torch.zeros(N, dtype=torch.float64))
    found = MCGDiff(clip=False).step(state, s, PRIOR, measured().expand(N), Tape([NOISE])).x
    c, c0 = x_t / T.alpha, PRIOR.denoise(x_t, T).x0
    sigma_t, sigma_s = T.sigma / T.alpha, s.sigma / s.alpha
    expected, weight = torch.empty_like(c), torch.zeros(N, dtype=torch.float64)
    for i, std in enumerate(STD):
        e = max(sigma_s, std) if std < sigma_t else sigma_s
        # of the forward process: c_e given c_0, and c_t given c_e
        if e:
            m, v = normal_product((c0[:, i], e**2), (c[:, i], sigma_t**2 - e**2))
        at_e = m + math.sqrt(v) * NOISE[:, i] if e else c0[:, i]
        if std < sigma_t:
            held = e**2 - std**2
            weight += log_normal(Y[i], m, v + held) - log_normal(c[:, i], Y[i], sigma_t**2 - std**2)
            at_e = Y[i].expand(N)
            if held:
                mean, variance = normal_product((m, v), (Y[i], held))
                at_e = mean + math.sqrt(variance) * NOISE[:, i]
        if e > sigma_s > 0:
            mean, variance = normal_product((c0[:, i], sigma_s**2), (at_e, e**2 - sigma_s**2))
            at_e = mean + math.sqrt(variance) * NOISE[:, i]
        expected[:, i] = c0[:, i] if sigma_s == 0 else at_e
    torch.testing.assert_close(found, s.alpha * expected, atol=1e-10, rtol=1e-10)
    (weighed,) = log_weights
    torch.testing.assert_close(weighed, weight, atol=1e-10, rtol=1e-10)


def test_it_starts_near_the_measurement():
    # from N(0, 1 + sigma^2), what the first level has of data of unit variance, and N(y, sigma^2 - std^2)
    first, sigma = LINEAR.level(800), LINEAR.level(800).sigma / LINEAR.level(800).alpha
    like = measured([0.5, 0.7 * sigma, 2 * sigma])
    c = MCGDiff().init(first, PRIOR, like.expand(N), Tape([NOISE]), N).x / first.alpha
    for i, std in enumerate([0.5, 0.7 * sigma]):
        mean, variance = normal_product((0.0, 1 + sigma**2), (Y[i], sigma**2 - std**2))
        torch.testing.assert_close(c[:, i], mean + math.sqrt(variance) * NOISE[:, i])
    torch.testing.assert_close(c[:, 2:], math.sqrt(1 + sigma**2) * NOISE[:, 2:])


def test_without_noise_it_ends_in_the_measurement():
    like = Gaussian(Y.float()[None], Dense((4,), torch.eye(3, 4)), 0.0)
    x = sample(PRIOR, like, MCGDiff(steps=7), n=N, progress=False)[0]
    torch.testing.assert_close(x[:, :3], Y.float().expand(N, -1))


@pytest.mark.parametrize("off", [0.0, 1e-7, -1e-7, -3e-7, 1e-6, -1e-6, -1e-5])
def test_float32_weighs_a_noise_level_near_one_of_the_path(off, log_weights):
    # a mask's coordinates share one std, and so what rounding leaves of its distance to a level
    d, sampler = 64, MCGDiff(steps=10)
    prior = GaussianMixture(0.5 * normal(2, d, seed=1), torch.stack([covariance(d), 0.5 * covariance(d, seed=1)]))
    level = sampler.path(LINEAR)[6]
    sigma_y = float(torch.tensor((1 + off) * level.sigma / level.alpha))
    y, draws = normal(1, d, seed=50), [normal(N, d, seed=k) for k in range(11)]
    for dtype in (torch.float32, torch.float64):
        like = Gaussian(y.to(dtype), Mask((d,), torch.arange(d) < 48), sigma_y)
        tape = Tape(draw.to(dtype) for draw in draws)
        sample(prior, like, sampler, n=N, rng=lambda rows, tape=tape: tape, progress=False)
    rounded, exact = torch.stack(log_weights).double().unflatten(0, (2, 10))
    rounded, exact = rounded - rounded.mean(1, keepdim=True), exact - exact.mean(1, keepdim=True)
    assert exact.std(1).max() > 1
    assert (rounded - exact).abs().max() < 1e-4

"""Any estimate of E[x_0 | x_t, y] under any integrator, in any alpha and sigma."""

import math
from itertools import pairwise

import pytest
import torch

from posteriori.guidance.base import Guidance
from posteriori.integrators import INTEGRATORS
from posteriori.likelihoods import Flat, Gaussian
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators import Dense
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DDIM, DDNM, DPS, MMPS, SAMPLERS, TMPD, DiffPIR, PiGDM, Reverse
from posteriori.schedule import CLEAN, Level
from posteriori.settings.text import format_spec, parse_sampler
from tests.helpers import LINEAR, Bulk, covariance, normal, standard_errors_off

SOLVERS = ["ddim", "heun", "dpm-solver++"]
MIXTURE = GaussianMixture(
    torch.tensor([[1.0, 0.5], [-1.0, 0.2]]),
    0.5 * torch.stack([covariance(2), covariance(2, 1)]),
    torch.tensor([0.3, 0.7]),
)
X = normal(64, 2, seed=3, dtype=torch.float64)
#: what alpha + sigma, alpha^2 + sigma^2 or alpha are 1 of
UNITS = {"flow": lambda bar: 1 + bar, "preserving": lambda bar: math.hypot(1, bar), "exploding": lambda bar: 1.0}


def falling(unit, steps):
    """Levels whose sigma / alpha falls by one factor, from 20 to 0.02."""
    bars = (20 * 1e-3 ** (k / steps) for k in range(steps + 1))
    return [Level(0.0, 1 / UNITS[unit](bar), bar / UNITS[unit](bar)) for bar in bars]


def to_clean(steps):
    """Rectified flow's levels from alpha = 0 to sigma = 0, evenly."""
    return [*(Level(t, 1 - t, t) for t in (1 - i / steps for i in range(steps))), CLEAN]


def solved(integrator, path, prior=MIXTURE):
    x, carry = math.hypot(path[0].alpha, path[0].sigma) * X, None
    for t, s in pairwise(path):
        x, _, carry = INTEGRATORS[integrator](prior.denoise, x, t, s, None, carry)
    return x


def orders(integrator, path, steps):
    """By what power of the step the error falls from each number of steps to twice that."""
    reference = solved("heun", path(800))
    errors = [(solved(integrator, path(n)) - reference).square().mean().sqrt().item() for n in (steps, 2 * steps)]
    return math.log2(errors[0] / errors[1])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("integrator", "order"), [("heun", 2), ("dpm-solver++", 2)])
def test_the_order_of_convergence(unit, integrator, order):
    assert orders(integrator, lambda n: falling(unit, n), 40) == pytest.approx(order, abs=0.1)


def test_ddim_is_of_first_order():
    assert orders("ddim", lambda n: falling("flow", n), 100) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("integrator", ["heun", "dpm-solver++"])
def test_from_no_signal_to_no_noise(integrator):
    # even steps in t are no even steps in lambda, which is infinite at both ends: h^2 log(1 / h)
    assert orders(integrator, to_clean, 40) > 1.5
    assert torch.isfinite(solved(integrator, to_clean(1))).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers' own
def test_dpm_solver_is_diffusers_own():
    from diffusers import DPMSolverMultistepScheduler

    theirs = DPMSolverMultistepScheduler(
        beta_start=1e-4, beta_end=0.02, beta_schedule="linear", prediction_type="sample", final_sigmas_type="zero"
    )
    theirs.set_timesteps(20)
    path = LINEAR.path([float(time) + 1 for time in theirs.timesteps])
    expected = X
    for time, t in zip(theirs.timesteps, path, strict=False):
        expected = theirs.step(MIXTURE.denoise(expected, t).x0, time, expected).prev_sample
    torch.testing.assert_close(solved("dpm-solver++", path), expected, atol=1e-4, rtol=1e-4)


# a Gaussian prior and as many GMRES steps as y has entries: MMPS has E[x_0 | x_t, y] exactly
MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
LIKE = Gaussian(normal(1, 2, seed=3), Dense((4,), normal(2, 4, seed=2)), 0.3)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_for_a_gaussian_prior_mmps_reaches_the_exact_posterior(integrator):
    rows, posterior, levels = 1000, PRIOR.posterior(LIKE), {"steps": 40, "spacing": "edm"}
    mmps, exact = (
        Reverse(guidance=guidance, integrator=integrator) for guidance in (MMPS(iterations=2, **levels), DDIM(**levels))
    )
    x = sample(PRIOR, LIKE, mmps, n=rows, rng=lambda _: Bulk(rows), progress=False)[0]
    own = sample(posterior, Flat(1, (4,)), exact, n=rows, rng=lambda _: Bulk(rows), progress=False)[0]
    torch.testing.assert_close(x, own, atol=1e-3, rtol=1e-3)  # draw for draw
    errors = (x.double().mean(0) - posterior.mean()) / (posterior.covariance().diagonal() / rows).sqrt()
    assert errors.abs().max() < 4
    if integrator in ("heun", "dpm-solver++"):  # in so few steps the others are not there yet
        assert standard_errors_off(x, posterior.mean(), posterior.covariance()) < 4


@pytest.mark.parametrize("integrator", SOLVERS)
@pytest.mark.parametrize("guidance", [DiffPIR(), DDNM(), PiGDM(), TMPD(), MMPS()], ids=lambda g: g.name)
def test_where_the_estimate_is_exact_the_chain_is_the_posteriors(integrator, guidance):
    # one measured entry of independent ones, each of variance 1: every guidance but DDNM's and DiffPIR's is Bayes' rule
    prior = GaussianMixture(torch.zeros(1, 2), torch.eye(2)[None])
    like = Gaussian(torch.tensor([[1.5]]), Dense((2,), torch.tensor([[1.0, 0.0]])), 0.5)
    sampler = Reverse(guidance=guidance.with_steps(30), integrator=integrator)
    found = sample(prior, like, sampler, n=50, keys=[1], progress=False)[0]
    exact = Reverse(guidance=DDIM(steps=30, spacing=guidance.spacing), integrator=integrator)
    exact = sample(prior.posterior(like), Flat(1, (2,)), exact, n=50, keys=[1], progress=False)[0]
    bayes = not isinstance(guidance, DiffPIR | DDNM)
    assert ((found - exact).abs().max() < 2e-4) == bayes
    torch.testing.assert_close(found[:, 1], exact[:, 1], atol=1e-4, rtol=1e-4)  # of which y says nothing


def test_ddnms_estimate_takes_no_more_of_y_than_its_noise_allows():
    t = LINEAR.level(100)
    s = torch.tensor([1.0, 0.1])
    sigma_y = 0.5 * t.sigma_bar
    like = Gaussian(normal(3, 2), Dense((4,), torch.diag_embed(s) @ torch.eye(2, 4)), sigma_y)
    x_t = normal(3, 4, seed=4)
    denoised = DDNM()(x_t, t, PRIOR, like)
    x0 = PRIOR.denoise(x_t, t).x0
    trust = torch.tensor([1.0, 0.2])  # std_i is half of the level's, and five times that
    torch.testing.assert_close(denoised.x0[:, :2], x0[:, :2] + trust * (like.y / s - x0[:, :2]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(denoised.x0[:, 2:], x0[:, 2:])
    torch.testing.assert_close(denoised.alone, x0)


def test_one_network_call_a_step_and_two_with_heun():
    for integrator, calls in (("ancestral", 10), ("ddim", 10), ("dpm-solver++", 10), ("heun", 19)):
        prior = CountedPrior(PRIOR)
        sample(prior, LIKE, Reverse(guidance=MMPS(steps=10), integrator=integrator), progress=False)
        assert prior.calls == calls


def test_ancestral_is_the_samplers_own_step():
    x_t, noise, t, s = normal(3, 4, seed=4), normal(3, 4, seed=5), LINEAR.level(400), LINEAR.level(350)
    for guidance in (MMPS(), TMPD(), PiGDM(weight="score"), DDIM()):
        like = LIKE.expand(3)
        own, other = (
            sampler.step(State(x_t, t), s, PRIOR, like, Tape([noise]))
            for sampler in (guidance, Reverse(guidance=guidance, integrator="ancestral"))
        )
        torch.testing.assert_close(other.x, own.x)
        torch.testing.assert_close(other.x0, PRIOR.denoise(x_t, t).x0)  # what is recorded is the prior's own


def test_what_is_no_estimate_given_y_is_no_guidance():
    assert {cls.name for cls in SAMPLERS if issubclass(cls, Guidance)} == {
        "ddim", "ddnm", "diffpir", "mmps", "pigdm", "tmpd"
    }  # fmt: skip
    assert not issubclass(DPS, Guidance)
    with pytest.raises(ValueError, match="guidance"):
        parse_sampler("reverse(guidance=dps)")


def test_its_text():
    text = "reverse(guidance=mmps(iterations=1, steps=20), integrator=dpm-solver++)"
    sampler = Reverse(guidance=MMPS(iterations=1, steps=20), integrator="dpm-solver++")
    assert parse_sampler(text) == sampler
    assert parse_sampler(format_spec(sampler)) == sampler
    assert sampler.with_steps(7) == Reverse(guidance=MMPS(iterations=1, steps=7), integrator="dpm-solver++")
    assert sampler.requires is MMPS.requires

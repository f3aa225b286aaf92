"""Rectified flow is a schedule like the others: alpha = 1 - t, sigma = t, and no signal at t = 1."""

from copy import copy
from dataclasses import replace

import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian
from posteriori.loop import sample
from posteriori.operators import Dense, Identity
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import DAPS, DDIM, DPS, MMPS, PiGDM, PnPDM, RePaint, Reverse, SDEdit
from posteriori.schedule import RectifiedFlow
from tests.helpers import (
    IMAGE,
    Bulk,
    as_network,
    covariance,
    image_mixture,
    normal,
    standard_errors_off,
    without_clip,
)
from tests.samplers import test_exact
from tests.samplers.test_protocol import CONDITIONAL, INSTANCES, each, measured, name, used

FLOW = RectifiedFlow()


def under_flow(prior):
    weights = prior.weights.float()
    return GaussianMixture(prior.means.unflatten(1, prior.shape), prior.covariances, weights, schedule=FLOW)


PRIOR = under_flow(image_mixture())
START = 0.3


def at_flow(samplers):
    """SDEdit's default start is a time of a thousand."""
    return [replace(s, t_start=START) if isinstance(s, SDEdit) else s for s in samplers]


def run(sampler, like, prior=PRIOR, **settings):
    return sample(prior, like, sampler, progress=False, **settings)


@each(at_flow(INSTANCES), steps=15)
def test_every_sampler_runs_from_no_signal(sampler):
    like = measured(used(sampler))
    x = run(sampler, like, n=2)
    assert x.shape == (3, 2, *IMAGE)
    assert torch.isfinite(x).all()
    # alone as in company
    torch.testing.assert_close(run(sampler, like.select(slice(1, 2)), n=2)[0], x[1], atol=2e-5, rtol=2e-5)


@each(at_flow(INSTANCES), steps=15)
def test_a_mixture_equals_the_network_that_predicts_its_flow(sampler):
    sampler = without_clip(sampler)
    like = measured(used(sampler))
    torch.testing.assert_close(run(sampler, like, as_network(PRIOR, "flow")), run(sampler, like), atol=1e-4, rtol=1e-4)


def nearness(sampler):
    truth = PRIOR.draw(64, seed=1)
    like = Gaussian.simulate(truth, Identity(IMAGE), 0.3)
    return (run(sampler, like)[:, 0] - truth).square().mean().item()


@each(at_flow(CONDITIONAL))
def test_data_bring_samples_nearer_to_the_truth(sampler):
    assert nearness(sampler) < 0.4 * nearness(DDIM(steps=50))


MEAN, C = normal(4, seed=5), covariance(4, seed=1)
GAUSSIAN = GaussianMixture(MEAN[None], C[None], schedule=FLOW)
LIKE = Gaussian(normal(1, 2, seed=3), Dense((4,), normal(2, 4, seed=2)), 0.3)


@each([DDIM(), DDIM(eta=0.0), DPS(), RePaint(steps=1000, jump=500, repeats=2)])
def test_the_prior_is_recovered_without_data(sampler):
    rows = 2000
    x = run(sampler, Flat(rows, (4,)), GAUSSIAN, rng=lambda _: Bulk(rows))[:, 0]
    assert standard_errors_off(x, MEAN.double(), C) < 4


@each([MMPS(steps=50, iterations=2, eta=0.0), Reverse(guidance=MMPS(steps=50, iterations=2))])
def test_for_a_gaussian_prior_the_chain_is_that_of_the_exact_posterior(sampler):
    found = run(sampler, LIKE, GAUSSIAN, n=3, keys=[7])
    exact = DDIM(steps=50, eta=0.0) if isinstance(sampler, MMPS) else Reverse(guidance=DDIM(steps=50))
    exact = run(exact, Flat(1, (4,)), GAUSSIAN.posterior(LIKE), n=3, keys=[7])
    torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("sampler", [MMPS(steps=200, iterations=2), PiGDM(steps=200, weight="score")], ids=name)
def test_samples_have_the_posteriors_mean_and_covariance(sampler):
    rows, prior = 1000, GaussianMixture(MEAN[None], torch.eye(4)[None], schedule=FLOW)
    x = run(sampler, LIKE, prior, n=rows, rng=lambda _: Bulk(rows))[0]
    posterior = prior.posterior(LIKE)
    assert standard_errors_off(x, posterior.mean(), posterior.covariance()) < 4


@pytest.mark.parametrize("sampler", test_exact.PARTICLES, ids=name)
def test_more_particles_come_to_the_posterior(sampler, monkeypatch):
    def given(seed, spread=1.0):
        there = right(seed, spread)
        prior = copy(there.prior)
        prior.schedule = FLOW
        return there._replace(prior=prior)

    right = test_exact.given
    monkeypatch.setattr(test_exact, "given", given)
    # as many steps for the same fall of (sigma / alpha)^(1/7), which begins at 999 and not at 157
    test_exact.check_particles(sampler.with_steps(60))


@each([DAPS(steps=10, ode_steps=2, langevin_steps=4), PnPDM(steps=10, inner=3)])
def test_samplers_with_levels_of_their_own_do_not_see_the_schedule(sampler):
    assert torch.equal(run(sampler, measured()), run(sampler, measured(), image_mixture()))

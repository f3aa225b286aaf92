"""Samplers that are exact in a limit come to the exact posterior as they near it, and mutants of theirs do not.

One sample of each of many independent runs is pooled, and compared with as many exact ones, on the first grid that
`posteriori verify` draws; chains, which cannot move between modes that lie far apart, on that grid with its modes a
quarter as far apart. The settings of the short form are those that take seconds. The long form, by `make bench`, pools
2,000 and goes up to 1,024 particles.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.priors.tied import TiedMixture
from posteriori.samplers import MALA, TDS, MCGDiff, PnPDM, mcgdiff, tds
from posteriori.samplers.particles import effective_size, resample, systematic
from posteriori.studies.verification.distances import sliced_wasserstein
from posteriori.studies.verification.grid import Grid
from posteriori.studies.verification.problem import SLICES
from tests.helpers import Bulk, normal

QUICK, LONG = 200, 2000
SEED = 0
#: how far apart modes are that a chain moves between, of the grid's own distance
NEAR = 0.25
TWISTED = TDS(steps=40, spacing="edm", data_var=100.0)
PARTICLES = [TWISTED, MCGDiff(steps=40, spacing="edm")]


class Given(NamedTuple):
    prior: TiedMixture
    like: Gaussian
    posterior: TiedMixture


@cache
def given(seed, spread=1.0):
    """The grid of d = 8, d_y = 1, with its modes ``spread`` times as far apart."""
    prior, like = Grid(n=1, d=8, d_y=1).given(seed)
    prior = TiedMixture.isotropic(spread * prior.means.float(), 1.0, prior.weights)
    like = Gaussian(spread * like.y, like.operator, like.sigma)
    return Given(prior, like, prior.posterior(like))


def far_from_exact(x, seed, spread):
    """The sliced Wasserstein distance of x to as many exact samples."""
    own = given(seed, spread).posterior.draw(len(x), seed=1)
    return sliced_wasserstein(x.double(), own, SLICES, torch.Generator().manual_seed(2))


@cache
def floor(seed, runs, spread=1.0):
    """Mean and standard deviation of the distance of exact samples."""
    sets = [given(seed, spread).posterior.draw(runs, seed=100 + k) for k in range(20)]
    distances = [far_from_exact(x, seed, spread) for x in sets]
    return np.mean(distances), np.std(distances, ddof=1)


def distance(sampler, n, seed, runs, *, spread=1.0, widened=0.0):
    """Of the first samples of ``runs`` runs of n; ``widened`` adds a noise to the sampler's own likelihood."""
    prior, like, _ = given(seed, spread)
    like = Gaussian(like.y.expand(runs, -1), like.operator, math.hypot(like.sigma, widened))
    bulk = lambda rows: Bulk((rows.stop - rows.start) * n, seed=runs * n + rows.start, n=n)  # noqa: E731
    settings = {"n": n, "keys": range(runs), "batch": max(n, 40_000), "rng": bulk, "progress": False}
    return far_from_exact(sample(prior, like, sampler, **settings)[:, 0], seed, spread)


def check(far, near, floor):
    """The distance has more than halved, and is the exact samples' own."""
    mean, std = floor
    assert near < far / 2, (far, near, mean, std)
    assert near < max(1.2 * mean, mean + 2 * std), (far, near, mean, std)


def check_particles(sampler, **wrong):
    far, near = (distance(sampler, n, SEED, QUICK, **wrong) for n in (4, 256))
    check(far, near, floor(SEED, QUICK))


@pytest.mark.parametrize("sampler", PARTICLES, ids=lambda sampler: sampler.name)
def test_more_particles_come_to_the_posterior(sampler):
    check_particles(sampler)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("sampler", PARTICLES, ids=lambda sampler: sampler.name)
def test_a_thousand_particles_come_to_the_posterior(sampler):
    far, *_, near = (distance(sampler.with_steps(400), n, SEED, LONG) for n in (16, 64, 256, 1024))
    check(far, near, floor(SEED, LONG))


@pytest.mark.parametrize(("sampler", "module"), [(PARTICLES[0], tds), (PARTICLES[1], mcgdiff)], ids=["tds", "mcgdiff"])
def test_without_weights_they_do_not(sampler, module, monkeypatch):
    monkeypatch.setattr(module, "resample", lambda log_w, n, rng, last: resample(0 * log_w, n, rng, last=last))
    with pytest.raises(AssertionError):
        check_particles(sampler)


def test_with_a_last_variance_that_is_not_zero_it_does_not(monkeypatch):
    monkeypatch.setattr(TDS, "twist_var", lambda self, t, s: self.data_var)
    with pytest.raises(AssertionError):
        check_particles(TWISTED)


def test_with_the_noise_of_another_level_it_does_not():
    with pytest.raises(AssertionError):
        check_particles(PARTICLES[1], widened=3.0)


def check_langevin(**wrong):
    """Of levels and steps at each."""
    samplers = (MALA(levels=20, inner=1), MALA(levels=100, inner=20))
    distances = [distance(sampler, 1, SEED, QUICK, spread=NEAR, **wrong) for sampler in samplers]
    check(*distances, floor(SEED, QUICK, NEAR))


def test_more_langevin_steps_come_to_the_posterior():
    check_langevin()


def test_langevin_steps_with_the_wrong_noise_do_not():
    with pytest.raises(AssertionError):
        check_langevin(widened=3.0)


def check_coupling(last):
    """Of the coupling."""
    samplers = (PnPDM(steps=400, inner=20, rho_max=4.0, rho_min=rho) for rho in (3.0, last))
    distances = [distance(sampler, 1, SEED, QUICK, spread=NEAR) for sampler in samplers]
    check(*distances, floor(SEED, QUICK, NEAR))


def test_a_tighter_coupling_comes_to_the_posterior():
    check_coupling(0.3)


def test_a_coupling_that_stays_loose_does_not():
    with pytest.raises(AssertionError):
        check_coupling(2.0)


def test_systematic_resampling_keeps_every_count_within_one():
    log_w, u = normal(3, 7, dtype=torch.float64), torch.tensor([0.0, 0.3, 0.999])
    counts = torch.stack([row.bincount(minlength=7) for row in systematic(log_w, u)])
    assert ((counts - 7 * log_w.softmax(1)).abs() < 1).all()
    many = systematic(log_w[:1].expand(20_000, -1), torch.linspace(0, 1, 20_001)[:-1])
    torch.testing.assert_close(many.flatten().bincount() / 20_000, (7 * log_w[0].softmax(0)).float(), atol=1e-3, rtol=0)


def test_every_sample_alone_has_the_law_of_all():
    weights, N = torch.tensor([0.1, 0.1, 0.1, 0.7]), 4000
    log_w = weights.log().double().repeat(N)
    rows = resample(log_w, 4, Bulk(4 * N, n=4), last=True).rows.unflatten(0, (N, 4)) % 4
    for position in range(4):
        counts = rows[:, position].bincount(minlength=4)
        assert ((counts / N - weights).abs() < 4 * (weights * (1 - weights) / N).sqrt()).all()


def test_equal_weights_change_nothing_and_the_effective_size_counts():
    equal = torch.zeros(2, 5, dtype=torch.float64)
    assert (systematic(equal, torch.tensor([0.1, 0.99])) == torch.arange(5)).all()
    assert effective_size(equal).tolist() == pytest.approx([5, 5])
    two = torch.tensor([[0.0, 0.0, -torch.inf]])
    assert effective_size(two).tolist() == pytest.approx([2])


def test_a_measurement_is_resampled_where_too_few_are_left():
    log_w = torch.tensor([0.0, 0.0, 0.1, 0.0, 0.0, -50.0, -50.0, -50.0], dtype=torch.float64)
    rows, left, ess = resample(log_w, 4, Bulk(8, n=4), last=False)
    assert rows.tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    torch.testing.assert_close(left[:4], log_w[:4].log_softmax(0))
    assert left[4:].tolist() == [0, 0, 0, 0]
    assert ess.tolist() == pytest.approx([4, 4, 4, 4, 1, 1, 1, 1], abs=0.01)
    assert resample(log_w, 4, Bulk(8, n=4), last=True).log_w.tolist() == [0] * 8

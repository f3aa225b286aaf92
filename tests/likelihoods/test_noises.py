"""Noises whose entries are independent given A(x), against scipy.stats and their own definitions."""

import pickle

import numpy as np
import pytest
import torch
from scipy import stats

from posteriori.likelihoods import (
    NOISES,
    Additive,
    PoissonGaussianNoise,
    PoissonNoise,
    QuantisationNoise,
    SaltAndPepperNoise,
    SpeckleNoise,
)
from posteriori.loop import sample
from posteriori.operators import BoxMask, GaussianBlur, Identity
from posteriori.samplers import DPS, DiffPIR
from tests.helpers import IMAGE, image_mixture, normal

OPERATORS = [Identity(IMAGE), BoxMask(IMAGE, size=3), GaussianBlur(IMAGE, sigma=1.0, size=7)]
FAMILIES = [
    PoissonNoise(30.0),
    PoissonGaussianNoise(30.0, 0.1),
    SpeckleNoise(8.0),
    SaltAndPepperNoise(0.2, 0.1),
    QuantisationNoise(3),
]
each = pytest.mark.parametrize("noise", FAMILIES, ids=lambda noise: noise.name)
on = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)


def pictures(n, seed=0):
    return (0.6 * normal(n, *IMAGE, seed=seed)).clamp(-1, 1)


def density(noise, y, a):
    """log p(y | a) by scipy."""
    intensity = ((a + 1) / 2).clip(1e-3)
    match noise:
        case PoissonNoise(peak=peak):
            return stats.poisson.logpmf(np.rint(peak * (y + 1) / 2), peak * intensity)
        case PoissonGaussianNoise(peak=peak, sigma=sigma):
            return stats.norm.logpdf(y, 2 * intensity - 1, np.sqrt(4 * intensity / peak + sigma**2))
        case SpeckleNoise(looks=looks):
            return stats.gamma.logpdf(y, looks, loc=-1, scale=2 * intensity / looks)
        case SaltAndPepperNoise(share=p, sigma=s):
            impulses = p / 2 * (stats.norm.pdf(y, 1, s) + stats.norm.pdf(y, -1, s))
            return np.log((1 - p) * stats.norm.pdf(y, a, s) + impulses)
        case QuantisationNoise(step=step):
            law = stats.norm(a, step / 2)
            return np.log(law.cdf(y + step / 2) - law.cdf(y - step / 2))


def test_every_family_is_tried():
    assert {type(noise) for noise in FAMILIES} == {cls for cls in NOISES if cls.name != "gaussian"}


@each
@on
def test_log_prob_is_scipys(noise, operator):
    like, x = noise.simulate(pictures(3), operator), 0.9 * pictures(3) + 0.05 * pictures(3, seed=1)
    y, a = (operator.observed_entries(own).double().numpy() for own in (like.y, operator(x)))
    expected = torch.from_numpy(density(noise, y, a)).sum(1)
    torch.testing.assert_close(like.log_prob(x).double(), expected, atol=2e-2, rtol=1e-4)


@each
@on
def test_the_score_is_the_gradient_of_differences(noise, operator):
    like = noise.simulate(pictures(2), operator).to(torch.device("cpu"), torch.float64)
    x, towards = 0.9 * pictures(2).double(), normal(2, *IMAGE, seed=2).double()
    found = (like.score(x) * towards).flatten(1).sum(1)
    expected = (like.log_prob(x + 1e-6 * towards) - like.log_prob(x - 1e-6 * towards)) / 2e-6
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@each
@on
def test_the_residual_of_the_truth_has_unit_variance(noise, operator):
    x = pictures(300)
    residual = noise.simulate(x, operator).residual(x).double()
    square = residual.square()
    bias = 0.03 if isinstance(noise, QuantisationNoise) else 0.0  # its variance is periodic in A(x)
    assert abs(square.mean() - 1) < 4 * square.std() / square.numel() ** 0.5 + bias
    assert abs(residual.mean()) < 4 * residual.numel() ** -0.5 + (0.05 if isinstance(noise, SaltAndPepperNoise) else 0)


@each
def test_simulated_moments(noise):
    """Of 40,000 entries of one A(x)."""
    operator = Identity((1, 200, 200))
    for a in (-0.7, 0.1, 0.8):
        like = noise.simulate(torch.full((1, 1, 200, 200), a), operator, seed=1)
        y = like.y.double().flatten()
        mean, variance = (own.item() for own in like.moments(torch.tensor(a, dtype=torch.float64)))
        assert abs(y.mean() - mean) < 4 * (variance / 40_000) ** 0.5 + 0.003 * getattr(noise, "step", 0.0)
        kurtosis = ((y - y.mean()) ** 4).mean() / y.var() ** 2
        assert abs(y.var() / variance - 1) < 4 * ((kurtosis - 1) / 40_000) ** 0.5 + 0.03 * hasattr(noise, "step")


@each
def test_the_misfit_is_in_the_units_of_the_measurement(noise):
    like, x = noise.simulate(pictures(3), OPERATORS[1]), pictures(3, seed=1)
    ratio = like.misfit(x) / like.residual(x)
    torch.testing.assert_close(ratio.nanmedian(1).values, ratio[:, 0], atol=1e-4, rtol=1e-3)
    assert 0.2 * noise.level < ratio[0, 0] < 3 * noise.level


@each
def test_rows_and_copies(noise):
    x, operator = pictures(3), OPERATORS[1]
    like = noise.simulate(x, operator, seed=4)
    assert not isinstance(like, Additive)
    assert torch.equal(noise.simulate(x[1:2], operator, seed=4).y[0], like.y[1])
    assert len(set(like.keys())) == 3
    for own in (like.select(slice(1, 3)), pickle.loads(pickle.dumps(like)).expand(2).select(slice(2, 5, 2))):
        torch.testing.assert_close(own.log_prob(x[1:]), like.log_prob(x)[1:])


def test_impulses_have_no_pull():
    like = SaltAndPepperNoise(0.1, 0.05).likelihood(torch.tensor([[1.0, 0.2]]), Identity((2,)))
    score = like.score(torch.tensor([[0.1, 0.1]]))[0]
    assert abs(score[0]) < 1e-3
    assert score[1] == pytest.approx(0.1 / 0.05**2, rel=1e-3)


@each
def test_dps_improves_on_the_measurement(noise):
    prior = image_mixture()
    truth = prior.draw(6, seed=1).clamp(-1, 1)
    like = noise.simulate(truth, OPERATORS[0])
    x = sample(prior, like, DPS(steps=30, scale=0.8), n=4, progress=False).mean(1)
    error, first = ((own - truth).square().mean().item() for own in (x, like.initial_estimate()))
    assert error < 0.8 * first


@each
def test_others_refuse_in_one_line(noise):
    like = noise.simulate(pictures(1), OPERATORS[0])
    with pytest.raises(
        ValueError, match=rf"DiffPIR needs a linear.*this likelihood has {like.noise} .*take one of.*dps"
    ):
        sample(image_mixture(), like, DiffPIR())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpeckleNoise(0.0), "looks is 0.0: give a finite number above 0"),
        (lambda: SaltAndPepperNoise(1.0), "share is 1.0"),
        (lambda: SaltAndPepperNoise(0.1, 0.0), "sigma is 0.0"),
        (lambda: PoissonGaussianNoise(10.0, 0.0), "sigma is 0.0"),
        (lambda: QuantisationNoise(0), "bits is 0"),
        (lambda: SpeckleNoise(4.0).likelihood(torch.full((1, *IMAGE), -1.2), OPERATORS[0]), "y goes down to -1.2"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

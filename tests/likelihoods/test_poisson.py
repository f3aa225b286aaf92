import math
import pickle

import pytest
import torch
from scipy import stats

from posteriori.likelihoods import Gaussian, Linear, Poisson
from posteriori.loop import sample
from posteriori.operators import BoxMask, GaussianBlur, Identity
from posteriori.rng import Purpose, Rng
from posteriori.samplers import DPS
from tests.helpers import IMAGE, Quantiser, image_mixture, normal, small_operators

PICTURES = small_operators()[:5]  # those whose A(x) is on the images' scale
each = pytest.mark.parametrize("operator", [*PICTURES, Quantiser(IMAGE)], ids=lambda operator: operator.name)


def pictures(n, seed=0):
    """Images within [-1, 1], some of whose pixels are black."""
    return (0.8 * normal(n, *IMAGE, seed=seed)).clamp(-1, 1)


def intensity(operator, x):
    return ((operator.observed_entries(operator(x)).double() + 1) / 2).clamp(min=1e-3)


@each
def test_log_prob_is_poissons(operator):
    like, x = Poisson.simulate(pictures(3), operator, 20.0), pictures(3, seed=1)
    counts = (10 * (operator.observed_entries(like.y).double() + 1)).round()
    rate = 20 * intensity(operator, x)
    expected = torch.distributions.Poisson(rate).log_prob(counts).sum(1)
    torch.testing.assert_close(expected, torch.from_numpy(stats.poisson.logpmf(counts, rate)).sum(1))
    torch.testing.assert_close(like.log_prob(x).double(), expected, atol=1e-3, rtol=1e-5)


@each
@pytest.mark.parametrize("peak", [0.5, 30.0, 1e4])
def test_the_residual_of_the_truth_has_unit_variance(operator, peak):
    x = pictures(200)
    residual = Poisson.simulate(x, operator, peak).residual(x).double()
    assert abs(residual.mean()) < 4 / residual.numel() ** 0.5
    fourth = 3 + (1 / (peak * intensity(operator, x))).mean().item()  # of a standardised Poisson variable
    assert abs(residual.var() - 1) < 4 * ((fourth - 1) / residual.numel()) ** 0.5


@each
def test_the_residuals_gradient_is_the_likelihoods(operator):
    like, x = Poisson.simulate(pictures(3), operator, 20.0), pictures(3, seed=1).requires_grad_()
    (g,) = torch.autograd.grad(-like.residual(x).square().sum() / 2, x)
    assert g.abs().max() > 1
    torch.testing.assert_close(g, like.score(x), atol=1e-3, rtol=1e-4)


@each
def test_the_misfit_is_the_residual_on_the_images_scale(operator):
    like, x = Poisson.simulate(pictures(3), operator, 20.0), pictures(3, seed=1)
    std = 2 * (intensity(operator, x) / 20).sqrt()
    expected = like.residual(x).double() * std.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(like.misfit(x).double(), expected, atol=1e-5, rtol=1e-5)
    plain = torch.full((3, *IMAGE), 0.25)  # one noise in all entries
    expected = operator.observed_entries(like.y - operator(plain))
    torch.testing.assert_close(like.misfit(plain), expected, atol=1e-5, rtol=1e-5)


def test_counts_are_quantiles_of_the_normal_numbers_of_gaussian_noise():
    x, operator = pictures(2), PICTURES[3]
    for peak in (0.3, 40.0, 3e5):
        z = Rng(3, [8, 9], purpose=Purpose.MEASUREMENT).normal(IMAGE).double()
        expected = 2 * stats.poisson.ppf(stats.norm.cdf(z), peak * intensity(operator, x).view(z.shape)) / peak - 1
        found = Poisson.simulate(x, operator, peak, seed=3, keys=[8, 9]).y.double()
        torch.testing.assert_close(found, torch.from_numpy(expected), atol=1e-4, rtol=1e-6)
    noisy = Gaussian.simulate(x, operator, 1.0, seed=3, keys=[8, 9]).y
    torch.testing.assert_close(noisy - operator(x), z.float(), atol=1e-6, rtol=1e-5)


def test_counts_have_poissons_frequencies():
    x = torch.full((1, 200, 200), 0.2)[None]
    counts = (2.5 * (Poisson.simulate(x, Identity((1, 200, 200)), 5.0).y + 1)).round().long().flatten()
    expected = 40_000 * stats.poisson.pmf(range(12), 3.0)
    found = torch.bincount(counts.clamp(max=11), minlength=12).numpy()
    expected[11] = 40_000 - expected[:11].sum()
    assert stats.chisquare(found, expected).pvalue > 1e-3


def test_simulate():
    x, operator = pictures(3), PICTURES[2]
    together = Poisson.simulate(x, operator, 20.0, seed=1)
    assert together.peak == 20.0
    for k in range(3):
        assert torch.equal(Poisson.simulate(x[k : k + 1], operator, 20.0, seed=1).y[0], together.y[k])
    assert not torch.equal(Poisson.simulate(x, operator, 20.0, seed=2).y, together.y)
    assert len(set(together.keys())) == 3
    assert torch.equal(operator.zero_filled(together.y), together.y)
    with pytest.raises(ValueError, match=r"this Mask takes \(B, "):
        Poisson.simulate(x[..., :-1], operator, 20.0)


def test_rows_and_hidden_entries():
    box, x = BoxMask(IMAGE, size=3), pictures(3)
    like = Poisson.simulate(x, box, 20.0)
    other = Poisson(torch.where(box.keep, like.y, 7.0), box, 20.0)
    assert like.residual(x).shape == (3, 3 * (64 - 9))
    assert torch.equal(like.log_prob(x), other.log_prob(x))
    assert like.keys() == other.keys()
    assert (like.initial_estimate()[:, ~box.keep] == 0).all()  # grey, and not black
    for own in (like.select(slice(1, 3)), pickle.loads(pickle.dumps(like)).expand(2).select(slice(2, 5, 2))):
        torch.testing.assert_close(own.log_prob(x[1:]), like.log_prob(x)[1:])


@pytest.mark.parametrize("peak", [0.0, -1.0, math.nan, math.inf])
def test_a_peak_is_above_0(peak):
    with pytest.raises(ValueError, match=f"peak is {peak}: give a finite number above 0"):
        Poisson(torch.zeros(1, *IMAGE), Identity(IMAGE), peak)
    with pytest.raises(ValueError, match="peak is"):
        Poisson.simulate(torch.zeros(1, *IMAGE), Identity(IMAGE), peak)


def test_counts_are_not_negative():
    with pytest.raises(ValueError, match=r"y goes down to -1.1: give 2 counts / peak - 1, from -1 up"):
        Poisson(torch.full((1, *IMAGE), -1.1), Identity(IMAGE), 10.0)


@pytest.mark.parametrize(
    "operator", [Identity(IMAGE), GaussianBlur(IMAGE, sigma=1.0, size=7), Quantiser(IMAGE)], ids=str
)
@pytest.mark.parametrize("simulate", [Poisson.simulate, Gaussian.simulate], ids=["poisson", "gaussian"])
def test_dps_improves_on_the_initial_estimate(operator, simulate):
    prior = image_mixture()
    truth = prior.draw(16, seed=1).clamp(-1, 1)
    like = simulate(truth, operator, 20.0 if simulate == Poisson.simulate else 0.2)
    assert isinstance(like, Linear) == (simulate == Gaussian.simulate and not isinstance(operator, Quantiser))
    x = sample(prior, like, DPS(steps=30, scale=0.8), progress=False)[:, 0]
    error, first = ((own - truth).square().mean().item() for own in (x, like.initial_estimate()))
    assert error < 0.7 * first

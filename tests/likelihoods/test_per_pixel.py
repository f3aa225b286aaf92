"""Gaussian noise with a standard deviation for each entry."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from posteriori.likelihoods import Additive, Gaussian, Linear, PerPixelNoise, Spectral
from posteriori.loop import sample
from posteriori.operators import BoxMask, Dense, Downsample, GaussianBlur, Identity, Mask
from posteriori.operators.weighted import weighted
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import DDNM, DPS, DiffPIR, PnPDM
from tests.helpers import IMAGE, Bulk, Quantiser, WithoutSVD, covariance, dense, normal, standard_errors_off

OPERATORS = [
    Identity(IMAGE),
    BoxMask(IMAGE, size=3),
    Downsample(IMAGE, 2),
    GaussianBlur(IMAGE, sigma=1.0, size=7),
    WithoutSVD(IMAGE, Mask(IMAGE, normal(1, 8, 8) > 0)),
    Quantiser(IMAGE),
]
each = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)


def sigmas(operator, seed=3):
    """From 0.05 to 0.5, and a tenth of the entries that say nothing."""
    shape = operator.measured_shape
    sigma = 0.05 * 10 ** torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.where(torch.rand(shape, generator=torch.Generator().manual_seed(seed + 1)) < 0.1, torch.inf, sigma)


def observed(operator, y, sigma):
    """The entries of ``y`` that are observed and say something, and their sigma."""
    own = operator.observed_entries(sigma[None].expand(len(y), *sigma.shape).float())
    told = own[0].isfinite()
    return operator.observed_entries(y)[:, told].double(), own[:, told].double()


@each
def test_log_prob_and_residual(operator):
    sigma, x = sigmas(operator), normal(3, *IMAGE, seed=1)
    like = Gaussian.simulate(normal(3, *IMAGE), operator, sigma)
    y, std = observed(operator, like.y, sigma)
    mean, _ = observed(operator, operator(x), sigma)
    expected = torch.from_numpy(stats.norm.logpdf(y, mean, std)).sum(1)
    torch.testing.assert_close(like.log_prob(x).double(), expected, atol=1e-2, rtol=1e-5)
    torch.testing.assert_close(like.residual(x).double(), (y - mean) / std, atol=1e-4, rtol=1e-4)
    one = Gaussian(like.y, operator, np.full(operator.measured_shape, 0.2))
    torch.testing.assert_close(one.misfit(x), Gaussian(like.y, operator, 0.2).misfit(x))
    assert one.sigma == pytest.approx(0.2)


@each
def test_the_residual_of_the_truth_has_unit_variance(operator):
    x = normal(200, *IMAGE)
    residual = Gaussian.simulate(x, operator, sigmas(operator)).residual(x)
    assert abs(residual.mean()) < 4 / residual.numel() ** 0.5
    assert abs(residual.var() - 1) < 4 * (2 / residual.numel()) ** 0.5


@each
def test_the_score_is_the_gradient_of_differences(operator):
    like = Gaussian.simulate(normal(2, *IMAGE), operator, sigmas(operator)).to(torch.device("cpu"), torch.float64)
    x, towards = normal(2, *IMAGE, seed=1, dtype=torch.float64), normal(2, *IMAGE, seed=2, dtype=torch.float64)
    found = (like.score(x) * towards).flatten(1).sum(1)
    expected = (like.log_prob(x + 1e-5 * towards) - like.log_prob(x - 1e-5 * towards)) / 2e-5
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS[:-1], ids=lambda operator: type(operator).__name__)
@pytest.mark.parametrize("rho", [0.01, 1.0])
def test_prox_solves_its_weighted_normal_equations(operator, rho):
    sigma, z = sigmas(operator), normal(2, *IMAGE, seed=1)
    like = Gaussian.simulate(normal(2, *IMAGE), operator, sigma)
    x = like.prox(z, rho).flatten(1).double()
    A, W = dense(operator), like.sigma / operator.observed_entries(sigma[None])[0]
    y = operator.observed_entries(like.y).double()
    gradient = (W**2 * (x @ A.T - y)) @ A + rho * (x - z.flatten(1))
    assert gradient.abs().max() < 1e-3
    assert ((W**2 * (z.flatten(1).double() @ A.T - y)) @ A).abs().max() > 0.05


@pytest.mark.parametrize("operator", OPERATORS[:4], ids=lambda operator: type(operator).__name__)
def test_a_weighted_operator_is_its_matrix(operator):
    weights = 1 / sigmas(operator).float()
    own = weighted(operator, weights)
    told = operator.observed_entries(weights[None])[0]
    A, x = (told[:, None] * dense(operator))[told > 0], normal(3, *IMAGE)
    torch.testing.assert_close(own.observed_entries(own(x)).double(), x.flatten(1).double() @ A.T, atol=1e-4, rtol=1e-5)
    y = own.zero_filled(normal(3, *operator.measured_shape, seed=2))
    left, right = (own(x) * y).flatten(1).sum(1), (x * own.adjoint(y)).flatten(1).sum(1)
    torch.testing.assert_close(left, right, atol=1e-3, rtol=1e-5)
    first = operator.initial_estimate(operator.zero_filled(operator(x)).where(weights > 0, 0.0))
    torch.testing.assert_close(own.initial_estimate(own(x)), first, atol=1e-4, rtol=1e-4)


def test_what_a_likelihood_can_do_is_decided_by_its_operator():
    kinds = [(Spectral, 3), (Linear, 5), (Additive, 6)]
    likes = [Gaussian.simulate(normal(2, *IMAGE), operator, sigmas(operator)) for operator in OPERATORS]
    for kind, count in kinds:
        assert [isinstance(like, kind) for like in likes] == [k < count for k in range(6)]


def test_the_spectrum_has_each_coordinates_own_noise():
    operator = Downsample(IMAGE, 2)
    like = Gaussian.simulate(normal(2, *IMAGE), operator, sigma := sigmas(operator))
    y, std = like.spectrum()
    told = sigma.isfinite()
    torch.testing.assert_close(std.double(), 2 * sigma[told], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(y, 2 * like.y[:, told], atol=1e-5, rtol=1e-4)
    c = like.Vt(normal(2, *IMAGE, seed=4))
    torch.testing.assert_close(like.Vt(like.V(c)), c)
    x = normal(2, *IMAGE, seed=5)
    variance = (0.3 * torch.eye(48) / 4 + torch.diag(sigma.flatten().float().square()))[told.flatten()][
        :, told.flatten()
    ]
    expected = torch.distributions.MultivariateNormal(operator(x)[:, told], variance).log_prob(like.y[:, told])
    torch.testing.assert_close(like.log_prob(x, 0.3), expected, atol=1e-2, rtol=1e-4)


def test_rows_copies_and_keys():
    operator, x = BoxMask(IMAGE, size=3), normal(3, *IMAGE)
    like = Gaussian.simulate(x, operator, sigma := sigmas(operator), seed=4)
    other = Gaussian(torch.where(sigma.isinf(), 7.0, like.y), operator, sigma)
    assert other.keys() == like.keys()
    assert torch.equal(Gaussian.simulate(x[1:2], operator, sigma, seed=4).y[0], like.y[1])
    for own in (like.select(slice(1, 3)), pickle.loads(pickle.dumps(like)).expand(2).select(slice(2, 5, 2))):
        torch.testing.assert_close(own.log_prob(x[1:]), like.log_prob(x)[1:])
    assert like.with_sigma(2 * like.sigma).residual(x).norm() == pytest.approx(like.residual(x).norm().item() / 2)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (torch.tensor([0.1, 0.0]), "above 0 in every entry"),
        (torch.full(IMAGE, torch.inf), "above 0 in every entry"),
        (np.full(IMAGE, np.nan), "above 0 in every entry"),
        (torch.ones(5, 5), r"sigma is \(5, 5\); identity gives \(3, 8, 8\): give the same size"),
    ],
)
def test_sigmas_that_cannot_be(sigma, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(torch.zeros(1, *IMAGE), Identity(IMAGE), sigma)


PRIOR = GaussianMixture(0.6 * normal(2, 4), torch.stack([covariance(4, 1), covariance(4, 2)]) / 4)
SIGMA = torch.tensor([0.1, 0.3, 1.0, torch.inf], dtype=torch.float64)


def test_the_exact_posterior_of_a_mixture():
    """That of the whitened problem, diag(1 / sigma) x + n."""
    y = Gaussian.simulate(PRIOR.draw(1, seed=5), Identity((4,)), SIGMA).y
    exact = PRIOR.posterior(Gaussian(y, Identity((4,)), SIGMA))
    A = torch.diag(1 / SIGMA)[:3].float()
    expected = PRIOR.posterior(Gaussian(y @ A.T, Dense((4,), A), 1.0))
    torch.testing.assert_close(exact.mean(), expected.mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(exact.covariance(), expected.covariance(), atol=1e-5, rtol=1e-5)


def test_samples_follow_the_posterior():
    """PnP-DM: at one rho its x has the posterior of noise sigma_i^2 + rho^2; one sigma for all is far off."""
    y = Gaussian.simulate(PRIOR.draw(1, seed=5), Identity((4,)), SIGMA).y
    sampler = PnPDM(steps=40, inner=40, rho_max=0.21, rho_min=0.2, clip=False)
    exact = PRIOR.posterior(Gaussian(y, Identity((4,)), (SIGMA.square() + 0.04).sqrt()))
    off = []
    for like in (Gaussian(y, Identity((4,)), SIGMA), Gaussian(y, Identity((4,)), 0.3)):
        x = sample(PRIOR, like, sampler, n=400, rng=lambda rows: Bulk(400, n=400), progress=False)[0]
        off.append(standard_errors_off(x, exact.mean(), exact.covariance()))
    assert off[0] < 4 < 10 < off[1]


@pytest.mark.parametrize("sampler", [DPS(steps=20), DDNM(steps=20), DiffPIR(steps=20)], ids=lambda s: s.name)
def test_hidden_noise_is_a_mask(sampler):
    """Infinite noise hides as a mask does."""
    x, box = normal(2, *IMAGE), BoxMask(IMAGE, size=3)
    sigma = torch.where(box.keep, 0.1, torch.inf)
    prior = GaussianMixture(torch.zeros(1, *IMAGE), 0.25 * torch.eye(192)[None])
    masked = Gaussian.simulate(x, box, 0.1)
    weighed = Gaussian(masked.y, Identity(IMAGE), sigma)
    a, b = (sample(prior, like, replace(sampler), seed=1, progress=False) for like in (masked, weighed))
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_noise_behind_damage_is_that_of_what_is_seen_through_it():
    """y = (1 - m) x + m d + sigma n, brought back to x: of unit variance where d is."""
    m, sigma = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0]), 0.02
    noise = PerPixelNoise.behind(m, sigma)
    d = normal(100_000, 5, dtype=torch.float64)[:, :4]
    seen = (m[:4] * d) / (1 - m[:4]) + sigma * normal(100_000, 4, seed=1)
    torch.testing.assert_close(seen.std(0), noise.sigma[:4], atol=0, rtol=0.02)
    assert noise.sigma[4].isinf()
    with pytest.raises(ValueError, match=r"must be on \[0, 1\]"):
        PerPixelNoise.behind(m + 0.1, sigma)

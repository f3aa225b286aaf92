import pytest
import torch
from torch.distributions import MultivariateNormal

from posteriori.likelihoods import Gaussian
from posteriori.operators import Dense, Identity
from posteriori.priors.mixture import GaussianMixture
from posteriori.schedule import CLEAN, Level
from tests.helpers import LINEAR, covariance, dense, image_mixture, normal, small_operators, standard_errors_off

LEVELS = [LINEAR.level(t) for t in (1, 200, 600, 1000)] + [Level(0, 1.0, 0.4), Level(0, 0.7, 2.0)]


def mixture(d=3, K=3):
    covariances = torch.stack([covariance(d, seed=k) for k in range(K)])
    return GaussianMixture(normal(K, d, seed=9), covariances, torch.arange(1.0, K + 1))


def grid(d, half=15.0, points=801):
    """Points (N, d) that fill [-half, half]^d evenly."""
    axis = torch.linspace(-half, half, points, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * d).view(-1, d)


def moments(points, log_density):
    p = (log_density - log_density.logsumexp(0)).exp()
    mean = p @ points
    return mean, torch.einsum("n,nd,ne->de", p, points - mean, points - mean)


def log_density(prior, x):
    """log p(x_0) from torch's own Gaussians."""
    each = [MultivariateNormal(m, C).log_prob(x) for m, C in zip(prior.means, prior.covariances, strict=True)]
    return torch.logsumexp(torch.stack(each, 1) + prior.weights.log(), 1)


@pytest.mark.parametrize("t", LEVELS)
def test_log_prob(t):
    prior, x = mixture(), 2 * normal(5, 3, dtype=torch.float64)
    noisy = GaussianMixture(
        t.alpha * prior.means, t.alpha**2 * prior.covariances + t.sigma**2 * torch.eye(3), prior.weights
    )
    torch.testing.assert_close(prior.log_prob(x, t), log_density(noisy, x), atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("t", LEVELS)
def test_denoiser_keeps_tweedies_identity(t):
    prior, x = mixture(), (2 * normal(5, 3, dtype=torch.float64)).requires_grad_()
    (score,) = torch.autograd.grad(prior.log_prob(x, t).sum(), x)
    torch.testing.assert_close(prior.denoise(x, t).x0, (x + t.sigma**2 * score) / t.alpha, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("t", [LINEAR.level(200), LINEAR.level(600), Level(0, 1.0, 0.4)])
def test_denoiser_equals_quadrature(t):
    prior, x_t = mixture(d=2), normal(3, 2, seed=1, dtype=torch.float64)
    x_0 = grid(2)
    for x, found in zip(x_t, prior.denoise(x_t, t).x0, strict=True):
        likelihood = -(x - t.alpha * x_0).square().sum(1) / (2 * t.sigma**2)
        mean, _ = moments(x_0, log_density(prior, x_0) + likelihood)
        torch.testing.assert_close(found, mean, atol=1e-6, rtol=1e-6)


def test_denoiser_without_noise():
    x = normal(4, 3)
    assert torch.equal(mixture().denoise(x, CLEAN).x0, x)
    assert torch.equal(mixture().denoise(x, Level(0, 0.5, 0.0)).x0, 2 * x)


@pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)
def test_posterior_of_one_gaussian_is_the_textbooks(operator):
    full = covariance(192, seed=2)
    prior = GaussianMixture(normal(1, 3, 8, 8, seed=1), full[None])
    like = Gaussian.simulate(normal(1, 3, 8, 8, seed=2), operator, 0.3)
    A, y = dense(operator), operator.observed_entries(like.y)[0].double()
    precision = full.inverse() + A.T @ A / 0.3**2
    mean = torch.linalg.solve(precision, full.inverse() @ prior.means[0] + A.T @ y / 0.3**2)
    posterior = prior.posterior(like)
    torch.testing.assert_close(posterior.mean().flatten(), mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(posterior.covariance(), precision.inverse(), atol=1e-5, rtol=1e-5)
    assert posterior.schedule is prior.schedule


@pytest.mark.parametrize(
    ("d", "matrix"),
    [
        (1, torch.tensor([[0.7]])),
        (1, torch.tensor([[0.7], [-0.4]])),
        (2, torch.tensor([[1.0, -0.5]])),
        (2, torch.tensor([[1.0, -0.5], [0.3, 0.8]])),
    ],
)
def test_posterior_of_a_mixture_equals_the_integral(d, matrix):
    prior, operator = mixture(d), Dense((d,), matrix)
    like = Gaussian.simulate(normal(1, d, seed=8), operator, 0.8)
    x = grid(d)
    r = like.y[0].double() - x @ matrix.T.double()
    mean, cov = moments(x, log_density(prior, x) - r.square().sum(1) / (2 * 0.8**2))
    posterior = prior.posterior(like)
    assert posterior.weights.min() > 0.01  # all components matter here
    torch.testing.assert_close(posterior.mean(), mean, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(posterior.covariance(), cov, atol=1e-5, rtol=1e-5)


def test_exact_measurements():
    prior = GaussianMixture(torch.tensor([[1.0, 2.0]]), torch.eye(2)[None])
    operator = Dense((2,), torch.tensor([[1.0, 0.0]]))
    posterior = prior.posterior(Gaussian(torch.tensor([[3.0]]), operator, 0.0))
    torch.testing.assert_close(posterior.mean(), torch.tensor([3.0, 2.0]).double())
    torch.testing.assert_close(posterior.covariance(), torch.diag(torch.tensor([0.0, 1.0])).double())


@pytest.mark.parametrize("sigma", [0.0, 0.3])
def test_singular_covariances(sigma):
    # x = m + u z, so y tells z alone
    m, u = normal(3, dtype=torch.float64), normal(3, seed=1, dtype=torch.float64)
    prior = GaussianMixture(m[None], torch.outer(u, u)[None])
    operator = Dense((3,), normal(2, 3, seed=2))
    y = operator((m + 0.7 * u)[None].float())
    posterior = prior.posterior(Gaussian(y, operator, sigma))
    power = (operator.matrix.double() @ u).square().sum()
    torch.testing.assert_close(posterior.mean(), m + 0.7 * power / (power + sigma**2) * u, atol=1e-5, rtol=1e-5)
    left = sigma**2 / (power + sigma**2)
    torch.testing.assert_close(posterior.covariance(), left * torch.outer(u, u), atol=1e-6, rtol=1e-5)


def test_points_as_a_prior():
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [-1.0, 2.0]])
    prior = GaussianMixture(points, torch.zeros(3, 2, 2))
    assert {tuple(x) for x in prior.draw(50).tolist()} == {tuple(x) for x in points.tolist()}
    # at this noise the nearest point wins
    torch.testing.assert_close(prior.denoise(points + 0.01, Level(0, 1.0, 0.05)).x0, points)
    # a measurement without noise rules out the points that do not give it
    first = Dense((2,), torch.tensor([[1.0, 0.0]]))
    exact = prior.posterior(Gaussian(torch.tensor([[-1.0]]), first, 0.0))
    torch.testing.assert_close(exact.weights, torch.tensor([0.0, 0.5, 0.5]).double())
    with pytest.raises(ValueError, match="no component of the mixture gives this measurement"):
        prior.posterior(Gaussian(torch.tensor([[0.3]]), first, 0.0))


def test_a_point_that_fits_outweighs_a_density():
    # at sigma -> 0 the evidence of the point grows as 1 / sigma
    prior = GaussianMixture(torch.zeros(2, 1), torch.tensor([[[0.0]], [[1.0]]]), torch.tensor([0.1, 0.9]))
    exact, near = (prior.posterior(Gaussian(torch.zeros(1, 1), Identity((1,)), sigma)) for sigma in (0.0, 1e-5))
    assert exact.weights.tolist() == [1.0, 0.0]
    assert near.weights.tolist() == pytest.approx([1.0, 0.0], abs=1e-3)


@pytest.mark.parametrize("prior", [mixture(1, 2), mixture(4, 1), mixture(3, 3)])
def test_moments_and_draws(prior):
    d = prior.means.shape[1]
    if d == 1:
        x = grid(1, half=15.0, points=20001)
        mean, cov = moments(x, log_density(prior, x))
        torch.testing.assert_close(prior.mean(), mean, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(prior.covariance(), cov, atol=1e-6, rtol=1e-6)
    x = prior.draw(20_000, seed=3)
    assert (x.shape, x.dtype) == ((20_000, d), torch.float32)
    assert standard_errors_off(x, prior.mean(), prior.covariance()) < 4
    assert torch.equal(x, prior.draw(20_000, seed=3))
    assert not torch.equal(x, prior.draw(20_000, seed=4))


def test_draws_do_not_depend_on_the_eigenbasis(monkeypatch):
    """Of three equal eigenvalues LAPACK may return any basis."""
    eigh, C = torch.linalg.eigh, torch.diag(torch.tensor([2.0, 2.0, 2.0, 0.5]))[None]
    expected = GaussianMixture(torch.zeros(1, 4), C).draw(5)

    def another(matrix):
        values, basis = eigh(matrix)
        own = (values - 2).abs()[0] < 1e-9
        basis[..., own] = basis[..., own] @ torch.linalg.qr(normal(3, 3, dtype=torch.float64))[0]
        return values, basis

    monkeypatch.setattr(torch.linalg, "eigh", another)
    torch.testing.assert_close(GaussianMixture(torch.zeros(1, 4), C).draw(5), expected, atol=1e-6, rtol=0)


def test_images():
    prior = image_mixture()
    x = prior.draw(5)
    assert x.shape == (5, 3, 8, 8)
    x0 = prior.denoise(x, LINEAR.level(300)).x0
    assert (x0.shape, x0.dtype) == (x.shape, torch.float32)
    assert prior.mean().shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMixture(torch.zeros(2, 3), torch.eye(3)[None]), r"2 means of 3 entries need \(2, 3, 3\)"),
        (lambda: GaussianMixture(torch.zeros(1, 2), torch.diag(torch.tensor([1.0, -1.0]))[None]), "eigenvalue -1"),
        (lambda: GaussianMixture(torch.zeros(1, 1), torch.ones(1, 1, 1), torch.tensor([-1.0])), "numbers from 0 up"),
        (lambda: GaussianMixture(torch.zeros(1, 1), torch.ones(1, 1, 1), torch.ones(2)), "give 1 numbers"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_posterior_is_of_one_measurement():
    like = Gaussian(torch.zeros(2, 3), Identity((3,)), 0.1)
    with pytest.raises(ValueError, match="one measurement of a linear operator"):
        mixture().posterior(like)


def test_weights_need_no_sum():
    assert mixture().weights.tolist() == pytest.approx([1 / 6, 1 / 3, 1 / 2])
    assert mixture(K=2).weights.sum().item() == pytest.approx(1)

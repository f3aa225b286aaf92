"""JPEG, bit depth, tone curves and phase retrieval against their definitions, a real codec and each other."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from scipy.stats import truncnorm

from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian, Linear
from posteriori.likelihoods.base import Conditional
from posteriori.loop import sample
from posteriori.operators import HDR, JPEG, BitDepth, Gamma, Identity, PhaseRetrieval
from posteriori.operators.rounding import mean_within, rest_within
from posteriori.rng import Rng
from posteriori.samplers import DAPS, DDNM, DPS, DiffPIR, PnPDM, REDDiff
from tests.helpers import IMAGE, image_mixture, normal

SHAPE = (3, 32, 48)


def picture(shape=SHAPE):
    """A part of a photograph, in bytes on [-1, 1]."""
    _, height, width = shape
    return load_image("chelsea")[..., 100 : 100 + height, 120 : 120 + width]


def pillow(x, quality):
    pixels = ((x[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    read = Image.open(data)
    decoded = torch.from_numpy(np.asarray(read).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    return decoded, [np.array(read.quantization[i]).reshape(8, 8) for i in (0, 1)]


@pytest.mark.parametrize("quality", [5, 10, 30, 50, 75, 95])
def test_jpeg_is_pillows(quality):
    x, operator = picture(), JPEG(SHAPE, quality=quality)
    decoded, tables = pillow(x, quality)
    assert all((ours.numpy() == theirs).all() for ours, theirs in zip(operator._tables, tables, strict=True))
    levels = 127.5 * (operator(x).clamp(-1, 1) - decoded).abs()  # Pillow rounds three times to bytes
    assert levels.mean() < 1.2
    own, theirs = operator.coefficients(operator(x)), operator.coefficients(decoded)
    assert max((a != b).float().mean().item() for a, b in zip(own, theirs, strict=True)) < 0.12


def test_jpegs_coefficients_are_scipys():
    """Of a grey picture, whose chroma is 0."""
    x, operator = picture().mean(1, keepdim=True).expand(1, *SHAPE), JPEG(SHAPE, quality=40)
    blocks = (127.5 * (x[0, 0].double().numpy() + 1) - 128).reshape(4, 8, 6, 8)
    expected = dctn(blocks, axes=(1, 3), norm="ortho") / operator._tables[0].numpy()[:, None]
    luminance, chrominance = operator.coefficients(operator(x.double()))
    found = luminance[0, 0].numpy().reshape(4, 8, 6, 8)
    assert (abs(found - expected) < 0.5 + 1e-6).all()
    assert abs(expected).max() > 5
    assert (chrominance == 0).all()


@pytest.mark.parametrize("shape", [SHAPE, (3, 40, 21)])
@pytest.mark.parametrize("quality", [10, 90])
def test_a_conditional_mean_lies_in_the_cells(shape, quality):
    operator, x = JPEG(shape, quality=quality), picture(shape).double()
    y = operator(x)
    far = x + 0.3 * normal(1, *shape, dtype=torch.float64)
    for std in (0.0, 0.1, math.inf):
        found = operator.conditional_mean(far, y, std)
        if shape == SHAPE:  # where a side is continued, what lies beyond the picture moves too
            own = operator._encoded(operator._planes(found))
            off = [(c - k).abs().max() for c, k in zip(own, operator.coefficients(y), strict=True)]
            assert max(off) < 0.5 + 1e-9
    middle = operator.conditional_mean(y, y, math.inf)
    assert (127.5 * (middle - y).abs()).mean() < 3  # but for chroma's triangle filter
    if shape == SHAPE:
        torch.testing.assert_close(operator.conditional_mean(x, y, 0.0), x, atol=1e-7, rtol=0)


@pytest.mark.parametrize("std", [1e-3, 0.1, 1.0, 10.0])
def test_means_within_bounds_are_scipys(std):
    z = torch.tensor([-3.0, -0.2, 0.0, 0.45, 2.0, 7.0], dtype=torch.float64)
    low, high = (
        torch.tensor([-0.5, -0.5, -0.25, 0.3, 0.3, -1.0]).double(),
        torch.tensor([0.5, 0.5, 0.5, 0.5, 0.6, 1.0]).double(),
    )
    found = mean_within(z, low, high, std)
    grid = torch.linspace(0, 1, 200_001, dtype=torch.float64)[:, None]
    u = low + (high - low) * grid
    weights = (-((u - z) / std).square() / 2).softmax(0)
    torch.testing.assert_close(found, (weights * u).sum(0), atol=2e-5, rtol=1e-4)


def test_straight_through_gradients():
    """Those of the same operator without rounding: for JPEG at quality 100 nearly the identity."""
    x = picture().requires_grad_()
    v = normal(1, *SHAPE)
    (g,) = torch.autograd.grad(BitDepth(SHAPE, 2)(x), x, v)
    torch.testing.assert_close(g, v, atol=1e-6, rtol=1e-6)
    smooth = torch.nn.functional.interpolate(normal(1, 3, 4, 6), (32, 48), mode="bilinear")
    coarse, fine = (torch.autograd.grad(JPEG(SHAPE, quality=q)(x), x, smooth)[0] for q in (5, 100))
    torch.testing.assert_close(coarse, fine, atol=1e-4, rtol=1e-4)
    assert (fine - smooth).norm() < 0.2 * smooth.norm()


def test_bit_depth():
    x = torch.tensor([[-1.4, -1.0, -0.7, -0.6, 0.0, 0.3, 0.7, 1.6]]).view(1, 1, 2, 4)
    operator = BitDepth((1, 2, 4), bits=2)
    expected = torch.tensor([-1, -1, -1, -1 / 3, 1 / 3, 1 / 3, 1, 1]).view(1, 1, 2, 4)
    y = operator(x + 1e-6)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(operator.conditional_mean(x, y, 0.0), torch.where(x == 0, 0.0, x), atol=1e-6, rtol=0)
    moved = operator.conditional_mean(torch.full_like(x, -3.0), y, 0.0)
    torch.testing.assert_close(moved, torch.where(y < -0.9, -3.0, y - 1 / 3), atol=1e-6, rtol=0)


def test_tone_curves():
    x = torch.linspace(-1.2, 1.2, 25).view(1, 1, 5, 5)
    y = HDR((1, 5, 5))(x)
    torch.testing.assert_close(y, (2 * x).clip(-1, 1))
    torch.testing.assert_close(HDR((1, 5, 5)).initial_estimate(y), x.clip(-0.5, 0.5))
    for gamma in (0.45, 2.2):
        curve = Gamma((1, 5, 5), gamma=gamma)
        inside = x.double().clamp(-0.98, 1.2)
        torch.testing.assert_close(curve(inside), 2 * ((inside + 1) / 2) ** gamma - 1)
        assert (curve(x).flatten().diff() > 0).all()
        torch.testing.assert_close(curve.initial_estimate(curve(x.double())), x.double().clamp(min=-1))


def test_phase_retrieval():
    x = normal(2, *IMAGE).double().clamp(-1, 1)
    for values, picture in (("0..1", (x + 1) / 2), ("-1..1", x)):
        operator = PhaseRetrieval(IMAGE, values=values)
        padded = np.pad(picture.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
        expected = np.abs(np.fft.fftshift(np.fft.fft2(padded, norm="ortho"), axes=(-2, -1)))
        torch.testing.assert_close(operator(x), torch.from_numpy(expected))
        torch.testing.assert_close(operator(x.flip(-1, -2)), operator(x))
    assert PhaseRetrieval((3, 256, 256)).measured_shape == (3, 384, 384)
    assert PhaseRetrieval.image_shape((3, 96, 96)) == (3, 64, 64)
    assert PhaseRetrieval((3, 64, 48), oversample=4.0).measured_shape == (3, 128, 96)


def test_hybrid_input_output_explains_the_magnitudes():
    x, operator = picture((3, 32, 32)), PhaseRetrieval((3, 32, 32))
    first = operator.initial_estimate(operator(x))
    misfit = lambda own: (operator(own) - operator(x)).norm()  # noqa: E731
    assert misfit(first) < 0.15 * misfit(torch.zeros_like(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JPEG((1, 8, 8)), r"jpeg is for colour pictures \(3, H, W\): the shape is \(1, 8, 8\)"),
        (lambda: JPEG(SHAPE, quality=0), "quality is 0"),
        (lambda: JPEG(SHAPE, quality=101), "quality is 101"),
        (lambda: BitDepth(SHAPE, bits=0), "bits is 0"),
        (lambda: HDR(SHAPE, scale=0.5), "scale is 0.5"),
        (lambda: Gamma(SHAPE, gamma=0.0), "gamma is 0.0"),
        (lambda: PhaseRetrieval((8,)), r"phase-retrieval is for pictures"),
        (lambda: PhaseRetrieval(SHAPE, values="0..255"), "values is '0..255'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


OPERATORS = [BitDepth(IMAGE, bits=2), HDR(IMAGE), Gamma(IMAGE)]
SAMPLERS = [
    DPS(steps=30, scale=0.8),
    REDDiff(steps=60, learning_rate=0.05, lambda_=1.0),
    DAPS(steps=10, ode_steps=1, langevin_steps=20, sigma_max=5.0, tau=None, step_size=5e-3),
    PnPDM(steps=10, inner=10, rho_max=3.0, langevin_steps=30, step_size=2e-3),
]


def error(prior, like, truth, sampler):
    """The squared error of the mean of 4 samples, over the one of the initial estimate."""
    x = sample(prior, like, sampler, n=4, progress=False).mean(1)
    own, first = ((found - truth).square().mean().item() for found in (x, like.initial_estimate()))
    return own / first


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_samplers_improve_on_the_initial_estimate(operator, sampler):
    prior = image_mixture()
    truth = prior.draw(6, seed=1).clamp(-1, 1)
    assert error(prior, Gaussian.simulate(truth, operator, 0.2), truth, sampler) < 0.9


def test_diffpir_lands_in_the_cells():
    prior, operator = image_mixture(), BitDepth(IMAGE, bits=2)
    truth = prior.draw(6, seed=1).clamp(-1, 1)
    like = Gaussian.simulate(truth, operator, 0.0)
    assert isinstance(like, Conditional)
    assert not isinstance(like, Linear)
    sampler = DiffPIR(steps=30, lambda_=1.0, zeta=1.0, clip=False)
    assert error(prior, like, truth, sampler) < 0.6
    x = sample(prior, like, sampler, progress=False)[:, 0]
    torch.testing.assert_close(operator.conditional_mean(x, like.y, 0.0), x, atol=1e-4, rtol=0)


def test_noise_after_rounding_has_no_cells():
    assert not isinstance(Gaussian.simulate(picture(), BitDepth(SHAPE), 0.1), Conditional)
    with pytest.raises(ValueError, match=r"DiffPIR needs a linear operator and Gaussian noise, or an operator that"):
        sample(image_mixture(), Gaussian(torch.zeros(1, *IMAGE), BitDepth(IMAGE), 0.1), DiffPIR())
    with pytest.raises(
        ValueError, match=r"DDNM needs an operator with an SVD.* take one of .*dps.*diffpir.*daps.*pnpdm"
    ):
        sample(image_mixture(), Gaussian(torch.zeros(1, *IMAGE), BitDepth(IMAGE), 0.0), DDNM())


def test_pnpdms_langevin_steps_have_the_law_of_the_exact_step():
    """On A = I, where both forms are known: mean and variance of z given x and y."""
    operator, rho, sigma = Identity((20_000,)), 0.3, 0.4
    like = Gaussian.simulate(normal(1, 20_000), operator, sigma)
    x, sampler = normal(1, 20_000, seed=1), PnPDM(langevin_steps=200, step_size=4e-3)

    class Plain(type(like).__mro__[1]):  # no Spectral
        pass

    plain = Plain(like.y, operator, sigma)
    z = sampler._likelihood_step(x, rho, plain, Rng(0, [0]))
    variance = 1 / (1 / rho**2 + 1 / sigma**2)
    off = z - variance * (x / rho**2 + like.y / sigma**2)
    discretised = variance / (1 - 4e-3 / (2 * variance))  # of Langevin steps of this length
    assert abs(off.mean()) < 4 * (discretised / 20_000) ** 0.5
    assert abs(off.var() / discretised - 1) < 4 * (2 / 20_000) ** 0.5


@pytest.mark.parametrize("sigma", [0.05, 0.3, 3.0])
@pytest.mark.parametrize("std", [0.1, 1.0, 10.0])
def test_the_rest_of_a_variance_is_what_scipys_leaves(std, sigma):
    z = torch.tensor([-3.0, -0.2, 0.0, 0.45, 2.0]).double()
    low, high = z.clamp(-0.5, 0.5) - 0.25, z.clamp(-0.5, 0.5) + torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]).double()
    v = truncnorm.var((low - z) / std, (high - z) / std, z, std)
    found = rest_within(z, low, high, std, sigma)
    torch.testing.assert_close(found.square(), (1 - torch.from_numpy(v) / sigma**2).clamp(min=0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("quality", "sigma", "kept"), [(100, 0.1, 1.0), (1, 0.02, 0.0)])
def test_whitening_fills_narrow_cells_and_leaves_wide_ones(quality, sigma, kept):
    operator, x, n = JPEG(SHAPE, quality=quality), picture(), normal(1, *SHAPE)
    e = operator.whitening(n, x, operator(x), 0.1, sigma)
    before, after, whole = (
        torch.cat([c.flatten() for c in operator._encoded(operator._planes(x + d))]) for d in (0, e, n)
    )
    assert ((after - before).norm() / (whole - before).norm() / sigma).item() == pytest.approx(kept, abs=0.05)

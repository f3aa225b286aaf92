import pytest
import torch
from tests.helpers import normal, small_operators

from posteriori.errors import PosterioriError
from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian
from posteriori.operators import Dense, Mask
from posteriori.restore.scale import check_scale, rescaled
from posteriori.settings.text import parse_operator

SHAPE = (3, 32, 32)
AVERAGING = small_operators(SHAPE)[:5]
FACE = load_image("astronaut", size=32)
BRIGHT = FACE / 4 + 0.7
RANGES = {"-1..1": lambda y: y, "0..1": lambda y: (y + 1) / 2, "0..255": lambda y: 127.5 * (y + 1)}

each = pytest.mark.parametrize("operator", AVERAGING, ids=lambda operator: operator.name)


@each
def test_an_operator_that_averages_keeps_to_the_range(operator):
    assert operator.averages
    x = torch.cat([torch.ones(1, *SHAPE), -torch.ones(1, *SHAPE), 2 * torch.rand(2, *SHAPE) - 1])
    y = operator.observed_entries(operator(x))
    assert y.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(y[:2].abs(), torch.ones_like(y[:2]), atol=1e-5, rtol=0)
    assert not small_operators()[5].averages, "any matrix need not"


@pytest.mark.parametrize("text", ["bicubic(factor=2)", "jpeg(quality=1)", "bicubic(factor=2) @ gaussian-blur(sigma=1)"])
def test_what_overshoots_is_told_from_bytes(text):
    operator = parse_operator(text, SHAPE)
    extreme = normal(1, *SHAPE).sign()
    for x in (FACE, extreme):
        y = operator(x)
        check_scale(y, operator, 0.0, "-1..1", "y.npy")
        with pytest.raises(PosterioriError, match=r"name its range with --range, like 0\.\.255"):
            check_scale(127.5 * (y + 1), operator, 0.0, None, "y.npy")


@pytest.mark.parametrize("given", RANGES)
def test_every_range_is_brought_to_one(given):
    y = normal(1, *SHAPE)
    torch.testing.assert_close(rescaled(RANGES[given](y), given), y, atol=1e-5, rtol=1e-5)
    assert torch.equal(rescaled(y, None), y)


@each
@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.16, 0.5, 5.0])
@pytest.mark.parametrize("given", [None, "-1..1"])
def test_a_measurement_on_the_scale_passes(operator, sigma, given):
    check_scale(Gaussian.simulate(FACE, operator, sigma).y, operator, sigma, given, "y.npy")
    check_scale(Gaussian.simulate(BRIGHT, operator, sigma).y, operator, sigma, "-1..1", "y.npy")


@each
@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.5, 5.0])
@pytest.mark.parametrize("given", [None, "-1..1", "0..1"])
def test_bytes_cannot_be_on_the_scale(operator, sigma, given):
    y = rescaled(127.5 * (Gaussian.simulate(FACE, operator, sigma).y + 1), given)
    with pytest.raises(
        ValueError, match=r"^y\.npy goes from .* cannot give of a picture on \[-1, 1\]: .*--range"
    ) as error:
        check_scale(operator.zero_filled(y), operator, sigma, given, "y.npy")
    assert "\n" not in str(error.value)


@each
@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.16])
@pytest.mark.parametrize("x", [FACE, BRIGHT], ids=["face", "bright"])
def test_what_looks_like_0_to_1_is_asked_about(operator, sigma, x):
    y = operator.zero_filled((Gaussian.simulate(x, operator, sigma).y + 1) / 2)
    with pytest.raises(ValueError, match=r"looks like \[0, 1\]: say --range 0\.\.1, or --range -1\.\.1 if") as error:
        check_scale(y, operator, sigma, None, "y.npy")
    assert "\n" not in str(error.value)
    check_scale(rescaled(y, "0..1"), operator, sigma, "0..1", "y.npy")


def test_a_few_dead_pixels_decide_nothing():
    identity = AVERAGING[0]
    y = Gaussian.simulate(FACE, identity, 0.05).y
    y[0, 0, 0, :10] = 40.0
    check_scale(y, identity, 0.05, None, "y.npy")
    unit = (y + 1) / 2
    unit[0, 0, 0, :10] = -1.0
    with pytest.raises(ValueError, match="looks like"):
        check_scale(unit, identity, 0.05, None, "y.npy")


def test_what_a_mask_hides_counts_for_nothing():
    keep = torch.zeros(1, 32, 32, dtype=torch.bool)
    keep[:, :4] = True
    y = torch.where(keep, FACE, 255.0)
    check_scale(y, Mask(SHAPE, keep), 0.0, "-1..1", "y.npy")


def test_the_range_of_any_other_operator_is_its_own():
    operator = Dense((2,), torch.tensor([[100.0, 0.0]]))
    check_scale(torch.full((1, 1), 99.0), operator, 0.0, None, "y.npy")

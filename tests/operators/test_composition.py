"""Operators one after the other, in Python and in the text form."""

import pytest
import torch

from posteriori.likelihoods.gaussian import Gaussian, SVDGaussian
from posteriori.operators import BoxMask, Downsample, GaussianBlur, Identity
from posteriori.operators.linear import LinearOperator
from posteriori.operators.separable import Separable
from posteriori.settings.text import format_spec, parse_operator, read_operator
from tests.helpers import Quantiser, dense, normal

SHAPE = (3, 8, 8)
BLUR, HALF = GaussianBlur(SHAPE, sigma=1.0, size=5), Downsample(SHAPE, 2)


def test_the_last_one_takes_the_image():
    x = normal(2, *SHAPE)
    assert torch.equal((BoxMask(SHAPE, size=4) @ BLUR)(x), BoxMask(SHAPE, size=4)(BLUR(x)))
    matrix = dense(Downsample((3, 4, 4), 2)) @ dense(HALF) @ dense(BLUR)
    torch.testing.assert_close(dense(Downsample((3, 4, 4), 2) @ HALF @ BLUR), matrix, atol=1e-6, rtol=1e-5)


def test_linear_where_the_parts_are_and_of_known_spectrum_where_they_are_separable():
    assert isinstance(HALF @ BLUR @ BLUR, Separable)
    assert isinstance(HALF @ (BLUR @ BLUR), Separable)
    assert isinstance(Gaussian(torch.zeros(1, 3, 4, 4), HALF @ BLUR, 0.1), SVDGaussian)
    assert isinstance(BoxMask(SHAPE) @ BLUR, LinearOperator)
    for one in (Quantiser(SHAPE) @ BLUR, BLUR @ Quantiser(SHAPE), HALF @ Quantiser(SHAPE) @ BLUR):
        assert not isinstance(one, LinearOperator)
        assert "nonlinear" in one.kind


def test_one_product_whatever_the_brackets():
    assert (HALF @ BLUR) @ Identity(SHAPE) == HALF @ (BLUR @ Identity(SHAPE))
    assert HALF @ GaussianBlur(SHAPE, sigma=1.5, size=5) != HALF @ BLUR
    assert (HALF @ BLUR).averages
    assert not (BLUR @ Quantiser(SHAPE)).averages


@pytest.mark.parametrize(
    "text",
    [
        "downsample(factor=2) @ gaussian-blur(sigma=1.0, size=5, border=reflect)",
        "box-mask(size=1, top=0, left=2) @ downsample(factor=2) @ box-blur(size=5, border=circular) @ identity",
    ],
)
def test_it_is_read_back_as_written(text):
    operator = parse_operator(text, SHAPE)
    assert format_spec(operator) == text
    assert parse_operator(format_spec(operator), SHAPE) == operator
    first, rest = text.split(" @ ", 1)
    assert parse_operator(f"{first}@(\n{rest})", SHAPE) == operator
    assert read_operator(text).name == operator.name == " @ ".join(part.name for part in operator.parts)


def test_the_shape_of_the_image_follows_from_the_measurement():
    assert read_operator("downsample(factor=2) @ gaussian-blur @ downsample(factor=3)").image_shape((3, 5, 4)) == (
        (3, 30, 24)
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        ValueError, match=r"gaussian-blur is for \(3, 8, 8\), and downsample of \(3, 8, 8\) gives \(3, 4"
    ):
        BLUR @ HALF
    with pytest.raises(ValueError, match="expected an operator after this @, got the end"):
        read_operator("identity @ ")
    with pytest.raises(ValueError, match=r"no operator is called 'blurr'.*at character 12 of"):
        read_operator("identity @ blurr")

"""What a method says of its time."""

from typing import ClassVar

import pytest
import torch
from tests.helpers import IMAGE, image_mixture

from posteriori.likelihoods import GaussianNoise
from posteriori.observers import CountedPrior
from posteriori.operators import GaussianBlur
from posteriori.operators.base import Operator
from posteriori.restore.methods import OnePass, Posterior, denoised
from posteriori.settings.text import read_sampler

Y = torch.zeros(1, *IMAGE)
LIKE = GaussianNoise(0.05).likelihood(Y, GaussianBlur(IMAGE, sigma=1.0, size=7))


class Steep(Operator):
    """Not linear."""

    name: ClassVar[str] = "steep"

    def __call__(self, x):
        return x + x**3

    def initial_estimate(self, y):
        return y


def settled(text, n, prior, operator):
    return Posterior(read_sampler(text), 20, n).settled(prior, operator, GaussianNoise(0.05))


@pytest.mark.parametrize(
    ("text", "n", "images", "gradients", "times"),
    [("dps", 3, 1, True, 60), ("ddnm", 3, 1, False, 60), ("tds", 4, 4, True, 20), ("mcgdiff", 4, 4, False, 20)],
)
def test_the_time_is_that_of_a_samplers_own_step(monkeypatch, text, n, images, gradients, times):
    monkeypatch.setattr("time.perf_counter", iter([0.0, 100.0, 200.0, 202.0]).__next__)  # the first step warms up
    prior, blur = CountedPrior(image_mixture()), GaussianBlur(IMAGE, sigma=1.0, size=7)
    assert settled(text, n, prior, blur).seconds(prior, LIKE) == 2 * times
    assert prior.images % images == 0
    assert 2 * images <= prior.images <= 4 * images
    assert bool(prior.vjps) == gradients


def test_one_call_takes_time_and_what_cannot_be_done_has_none():
    prior, steep, blur = image_mixture(), Steep(IMAGE), GaussianBlur(IMAGE, sigma=1.0, size=7)
    seconds = OnePass().settled(prior, blur, GaussianNoise(0.1)).seconds(prior, LIKE)
    assert seconds is not None
    assert seconds > 0
    assert settled("ddrm", 1, prior, steep).seconds(prior, GaussianNoise(0.05).likelihood(Y, steep)) is None


def test_the_noise_of_a_grey_picture_lies_in_luminance():
    """Grey rows are denoised as at sqrt(3) sigma, and others beside them as at sigma."""
    prior = image_mixture()
    y = torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(0))
    y[1] = y[1, :1].clone()
    x0, rows = denoised(prior, y, prior.schedule.at_noise(0.2), 2)
    for own, sigma in zip((0, 1), (0.2, 0.2 * IMAGE[0] ** 0.5), strict=True):
        expected = prior.denoise(y[own : own + 1], prior.schedule.at_noise(sigma)).x0
        torch.testing.assert_close(x0[own : own + 1], prior.clamp(expected))
    assert rows == 2

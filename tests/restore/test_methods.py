"""What a method says of its time."""

from typing import ClassVar

import pytest
import torch
from tests.helpers import IMAGE, image_mixture

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.likelihoods import GaussianNoise
from posteriori.loop import sample
from posteriori.metrics import psnr
from posteriori.observers import CountedPrior
from posteriori.operators import GaussianBlur
from posteriori.operators.base import Operator
from posteriori.restore.methods import OnePass, Posterior, denoised
from posteriori.samplers import DDRM, DPIR, DiffPIR
from posteriori.settings.text import format_spec, read_sampler

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
    """A grey row comes out grey, and nearer to the truth than told sigma, or sqrt(3) sigma without noise in colour."""
    prior = load_prior("photo").at((64, 64))
    x = load_image("chelsea")[..., 100:164, 150:214].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    n = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    y = x + 0.2 * torch.cat([n[:1, :1].expand(-1, 3, -1, -1), n[1:]])
    x0, rows = denoised(prior, y, prior.schedule.at_noise(0.2), 2, 0)
    assert rows == 2
    assert (x0[0] == x0[0, :1]).all()
    with torch.no_grad():
        torch.testing.assert_close(x0[1:], prior.clamp(prior.denoise(y[1:], prior.schedule.at_noise(0.2)).x0))
        for told in (0.2, 0.2 * 3**0.5):
            other = prior.denoise(y[:1], prior.schedule.at_noise(told)).x0.mean(1, keepdim=True)
            assert psnr(x0[:1], x).item() > psnr(other.expand_as(x), x).item() + 2
    assert torch.equal(denoised(prior, y[:1], prior.schedule.at_noise(0.2), 1, 0)[0], x0[:1])


@pytest.mark.parametrize(
    ("sampler", "sigma"),
    [(DPIR(steps=8), 0.01), (DiffPIR(steps=8, lambda_=1.0, zeta=1.0), 0.05), (DDRM(steps=8), 0.05)],
)
def test_a_grey_picture_is_deblurred_as_its_noise_is_grey(sampler, sigma):
    """Nearer to the truth than as a picture in colour, whose noise is of the channels each."""
    x = load_image("coffee")[..., 150:230, 200:280].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    prior, blur, noise = load_prior("photo").at(80), GaussianBlur((3, 80, 80), sigma=1.5, size=13), GaussianNoise(sigma)
    y = blur(x) + sigma * torch.randn(1, 1, 80, 80, generator=torch.Generator().manual_seed(0))
    like = noise.likelihood(y, blur)
    method = Posterior(read_sampler(format_spec(sampler)), 8, 1).settled(prior, blur, noise)
    pictures = method(prior, like, y, 0, 1, lambda _: None).x[0], sample(prior, like, sampler, progress=False)[0]
    grey, coloured = (psnr(found.mean(1, keepdim=True).expand_as(x), x).item() for found in pictures)
    assert grey > coloured + 0.2

import math

import pytest
import torch

from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian, Poisson
from posteriori.operators import BoxMask, Dense, Downsample, GaussianBlur
from posteriori.rng import Purpose, Rng, Tape, generator, image_key
from tests.helpers import normal


def first(seed, purpose, key, j):
    return tuple(torch.randn(4, generator=generator(seed, purpose, key, j)).tolist())


def test_streams_are_distinct_and_repeat():
    keys = [(s, p, k, j) for s in (0, 1, 2) for p in Purpose for k in (0, 1, 2**32 - 1) for j in (0, 1, 2)]
    streams = [first(*key) for key in keys]
    assert len(set(streams)) == len(keys)
    assert streams == [first(*key) for key in keys]


def test_streams_are_uncorrelated_and_normal():
    x = Rng(0, range(200)).normal((500,)).double()
    assert abs(x.mean()) < 4 / x.numel() ** 0.5
    assert abs(x.var() - 1) < 4 * (2 / x.numel()) ** 0.5
    between = (x @ x.T / 500).fill_diagonal_(0)
    assert between.abs().max() < 6 / 500**0.5


def test_rows_are_grouped_by_image():
    x = Rng(5, [7, 9], 3).normal((2, 2))
    expected = [Rng(5, [key], 1, first=j).normal((2, 2)) for key in (7, 9) for j in range(3)]
    assert torch.equal(x, torch.cat(expected))
    assert x.dtype == torch.float32


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (16,), (2, 5, 5)])
def test_shapes_are_any(shape):
    x = Rng(5, [7, 9], 2).normal(shape)
    assert x.shape == (4, *shape)
    assert len(set(x.flatten().tolist())) == x.numel()


def test_torchs_numbers_but_for_their_last_bits():
    x = Rng(5, [7]).normal((3, 16, 16))[0]
    own = torch.randn(3, 16, 16, generator=generator(5, Purpose.SAMPLER, 7, 0))
    torch.testing.assert_close(x, own, atol=2e-6, rtol=0)


def test_a_row_does_not_depend_on_its_neighbours():
    alone, together = Rng(5, [9], 2), Rng(5, [7, 9, 8], 2)
    for _ in range(3):
        torch.testing.assert_close(alone.normal((3,)), together.normal((3,))[2:4], atol=0, rtol=0)


def test_uniform_numbers_are_a_rows_own_and_resampling_an_images():
    x = Rng(0, range(4000)).uniform()
    assert x.shape == (4000,)
    assert 0 <= x.min() < 0.01 < 0.99 < x.max() < 1
    assert abs(x.mean() - 0.5) < 4 / (12 * 4000) ** 0.5
    alone, together = Rng(5, [9], 2), Rng(5, [7, 9], 2)
    for _ in range(2):
        assert torch.equal(alone.uniform(), together.uniform()[2:])
        assert torch.equal(alone.resampling.uniform(), together.resampling.uniform()[1:])
    expected = torch.rand(1, generator=generator(5, Purpose.RESAMPLING, 9, 0))
    assert torch.equal(Rng(5, [9], 2).resampling.uniform(), expected)


def test_the_key_is_the_content():
    x = normal(2, 3, 4)
    assert image_key(x[0]) == image_key(x[0].clone()) == image_key(x[0].double())
    assert image_key(x[0]) == image_key(x.mT.contiguous().mT[0])
    assert len({image_key(x[0]), image_key(x[1]), image_key(x[0] + 1e-6)}) == 3


@pytest.mark.parametrize(
    ("operator", "key"),
    [
        (BoxMask((3, 64, 64)), 1235488190),
        (GaussianBlur((3, 64, 64), sigma=1.5), 268279566),
        (Downsample((3, 64, 64), 2), 1189924898),
        (Dense((3, 64, 64), (torch.arange(4 * 3 * 64**2) % 101 / 2**14).view(4, -1)), 1672638018),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_measurement_has_one_key_on_every_processor(operator, key):
    """Recorded on one; `make processors` computes them with the arithmetic of others."""
    assert image_key(Gaussian.simulate(load_image("astronaut", size=64), operator, 0.05).y[0]) == key


def test_counts_have_one_key_on_every_processor():
    x, operator = load_image("astronaut", size=64), GaussianBlur((3, 64, 64), sigma=1.5)
    y = Poisson.simulate(x, operator, 100.0).y[0]
    counts = (50 * (y.double() + 1)).round()
    assert image_key((counts / 100).float()) == 1561586393
    assert torch.equal(y, (2 * counts / 100 - 1).float())


def test_tape():
    draws = [normal(2, 3, seed=k) for k in range(2)]
    tape = Tape(draws)
    assert tape.normal((3,)) is draws[0]
    with pytest.raises(ValueError, match=r"next draw is \(3,\), the sampler asked for \(4,\)"):
        tape.normal((4,))
    with pytest.raises(ValueError, match="run out of recorded draws"):
        tape.normal((3,))
    assert Tape(draws[:1]).resampling.normal((3,)) is draws[0]
    assert Tape([normal(2)]).uniform().shape == (2,)


def test_draws_go_on_where_the_last_one_ended():
    """However many numbers each of them takes, fewer or more than are read ahead."""
    rng, own = Rng(5, [7, 9], 2), [generator(5, Purpose.SAMPLER, key, j) for key in (7, 9) for j in range(2)]
    for size in (3, 0, 900, 16, 3000, 1, 1024):
        u = torch.stack([torch.rand(-(-size // 16), 2, 8, generator=one) for one in own]).double()
        radius, angle = (-2 * torch.log1p(-u[:, :, :1])).sqrt(), 2 * math.pi * u[:, :, 1:]
        expected = torch.cat([radius * angle.cos(), radius * angle.sin()], 2).flatten(1)[:, :size]
        assert torch.equal(rng.normal((size,)), expected.float())
        assert torch.equal(rng.uniform(), torch.cat([torch.rand(1, generator=one) for one in own]))

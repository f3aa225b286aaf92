import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import BoxMask, Downsample
from posteriori.rng import Rng, Tape
from posteriori.samplers import DDIM, DDRM, DPS, DiffPIR, PiGDM, SDEdit
from posteriori.schedule import CLEAN
from tests.helpers import IMAGE, LINEAR, Quantiser, image_mixture, normal


def times(sampler):
    path = sampler.path(LINEAR)
    assert path[-1] == CLEAN
    return [level.t for level in path[:-1]]


def test_the_reports_path():
    assert times(SDEdit()) == list(range(500, 0, -1))


def test_other_paths():
    assert times(SDEdit(t_start=500, base=DDIM(steps=10))) == [500, 445, 334, 223, 112, 1]
    assert times(SDEdit(t_start=445, base=DDIM(steps=10))) == [445, 334, 223, 112, 1]
    assert times(SDEdit(t_start=445, base=DDIM(steps=10, spacing="leading"))) == [445, 401, 301, 201, 101, 1]
    assert times(SDEdit(t_start=1)) == [1]
    assert times(SDEdit(t_start=1000)) == list(range(1000, 0, -1))
    assert times(SDEdit().with_steps(10)) == [500, 445, 334, 223, 112, 1]


@pytest.mark.parametrize(
    ("t_start", "wanted"),
    [(0, "finite number above 0"), (-1, "finite number above 0"), (1001, "time above 0, up to 1000")],
)
def test_t_start_lies_on_the_schedule(t_start, wanted):
    with pytest.raises(ValueError, match=f"t_start is {t_start}: give a {wanted}"):
        SDEdit(t_start=t_start).path(LINEAR)


@pytest.mark.parametrize("operator", [BoxMask(IMAGE, size=3), Downsample(IMAGE, 2)], ids=lambda o: o.name)
def test_starts_from_the_noised_guess(operator):
    prior, level = image_mixture(), LINEAR.level(300)
    like = Gaussian.simulate(prior.draw(2), operator, 0.1)
    noise = normal(2, *IMAGE)
    state = SDEdit(t_start=300).init(level, prior, like, Tape([noise]), 1)
    torch.testing.assert_close(state.x, level.alpha * operator.pinv(like.y) + level.sigma * noise)
    assert state.level == level


@pytest.mark.parametrize("base", [DDIM(steps=10), DiffPIR(steps=10), DPS(steps=10)], ids=lambda s: s.name)
def test_then_it_is_its_base(base):
    prior, operator = image_mixture(), Downsample(IMAGE, 2)
    like = Gaussian.simulate(prior.draw(1), operator, 0.1)
    sampler = SDEdit(t_start=300, base=base)
    found = sample(prior, like, sampler, progress=False)[:, 0]
    rng, path = Rng(0, like.keys()), sampler.path(LINEAR)
    state = sampler.init(path[0], prior, like, rng, 1)
    for s in path[1:]:
        state = base.step(state, s, prior, like, rng)
    assert torch.equal(found, state.x)


def test_a_small_start_keeps_the_guess():
    prior, operator = image_mixture(), Downsample(IMAGE, 2)
    like = Gaussian.simulate(prior.draw(4), operator, 0.1)
    moved = [
        (sample(prior, like, SDEdit(t_start=t), progress=False)[:, 0] - like.initial_estimate()).square().mean()
        for t in (2, 100, 500)
    ]
    assert moved[0] < moved[1] < moved[2]


def test_the_base_says_what_it_needs():
    like = Gaussian(torch.ones(1, *IMAGE), Quantiser(IMAGE), 0.1)
    with pytest.raises(ValueError, match="SDEdit needs a linear operator and Gaussian noise; this likelihood has "):
        sample(image_mixture(), like, SDEdit(base=PiGDM(steps=10)))
    assert sample(image_mixture(), like, SDEdit(base=DDIM(steps=10)), progress=False).isfinite().all()


def test_a_base_that_starts_in_its_own_way_is_refused():
    with pytest.raises(
        ValueError, match=r"base is ddrm, which does not start from a noised image: give another, like ddim"
    ):
        SDEdit(base=DDRM())

import math
from itertools import pairwise

import pytest
import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import CountedPrior
from posteriori.operators import Dense, Mask
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.sampler import State
from posteriori.samplers import DDIM, RePaint
from posteriori.schedule import CLEAN
from tests.helpers import LINEAR, Bulk, covariance, normal

MEAN, C = normal(4, seed=1), covariance(4)
PRIOR = GaussianMixture(MEAN[None], C[None])
KNOWN = torch.tensor([True, False, True, False])
LIKE = Gaussian(normal(3, 4, seed=3), Mask((4,), KNOWN), 0.0)


def published_times(steps, jump, repeats):
    """The official loop's network times, one unit at a time, and -1 at the end."""
    left = dict.fromkeys(range(0, steps - jump, jump), repeats - 1)
    t, times = steps, []
    while t >= 1:
        t -= 1
        times.append(t)
        if left.get(t, 0) > 0:
            left[t] -= 1
            for _ in range(jump):
                t += 1
                times.append(t)
    return [*times, -1]


def test_the_papers_schedule_makes_2410_network_calls():
    prior = CountedPrior(PRIOR)
    sample(prior, LIKE.select(slice(0, 1)), RePaint(), progress=False)
    assert prior.calls == 2410


@pytest.mark.parametrize(("steps", "jump", "repeats"), [(250, 10, 10), (37, 5, 3), (40, 10, 2), (6, 1, 4), (7, 10, 10)])
def test_the_network_is_called_at_the_published_levels(steps, jump, repeats):
    sampler, times = RePaint(steps=steps, jump=jump, repeats=repeats), published_times(steps, jump, repeats)
    levels = LINEAR.path(steps)[::-1]
    path = sampler.path(LINEAR)
    assert [t for t, s in pairwise(path) if s.t < t.t] == [levels[i + 1] for i, j in pairwise(times) if j < i]
    ups = [(levels.index(s) - levels.index(t)) for t, s in pairwise(path) if s.t > t.t]
    assert set(ups) <= {jump}
    assert path[-1] == CLEAN


def test_the_known_part_is_pasted_with_the_levels_noise():
    x_t, noise, eps = (normal(3, 4, seed=k) for k in (4, 5, 6))
    t, s = LINEAR.level(600), LINEAR.level(550)
    state = RePaint().step(State(x_t, t), s, PRIOR, LIKE, Tape([noise, eps]))
    alone = DDIM().step(State(x_t, t), s, PRIOR, LIKE, Tape([noise])).x
    torch.testing.assert_close(state.x, torch.where(KNOWN, s.alpha * LIKE.y + s.sigma * eps, alone))


def test_upwards_it_diffuses():
    x_s, noise = normal(3, 4, seed=4), normal(3, 4, seed=5)
    s, t = LINEAR.level(300), LINEAR.level(420)
    before = State(x_s, s, 1, x_s, {"residual": torch.ones(3)})
    state = RePaint().step(before, t, PRIOR, LIKE, Tape([noise]))
    alpha_bar = LINEAR.alpha_bar[420] / LINEAR.alpha_bar[300]
    torch.testing.assert_close(state.x, math.sqrt(alpha_bar) * x_s + math.sqrt(1 - alpha_bar) * noise)
    assert (state.level, state.x0 is x_s, state.stats) == (t, True, before.stats)


@pytest.mark.parametrize("operator", [Mask((4,), KNOWN), Dense((4,), normal(2, 4, seed=2))])
def test_the_sample_has_the_measurement_as_it_is(operator):
    like = Gaussian.simulate(PRIOR.draw(3), operator, 0.2)
    x = sample(PRIOR, like, RePaint(steps=50, repeats=2), progress=False)[:, 0]
    torch.testing.assert_close(like.misfit(x), torch.zeros_like(like.misfit(x)), atol=1e-5, rtol=0)


def test_the_unknown_part_comes_to_fit_the_known():
    prior = GaussianMixture(torch.zeros(1, 2), torch.tensor([[[1.0, 0.9], [0.9, 1.0]]]))
    like = Gaussian(torch.tensor([[2.0, 0.0]]), Mask((2,), torch.tensor([True, False])), 0.0)

    def unknown(repeats, rows=3000):
        sampler = RePaint(steps=100, repeats=repeats)
        return sample(prior, like, sampler, n=rows, rng=lambda _: Bulk(rows), progress=False)[0, :, 1]

    # the posterior is N(1.8, 0.19); ten repeats come near it, one does not
    x = unknown(10)
    assert x.mean().item() == pytest.approx(1.8, abs=0.12)
    assert x.var().item() == pytest.approx(0.19, abs=0.03)
    assert abs(unknown(1).mean() - 1.8) > 0.5


@pytest.mark.parametrize("field", ["jump", "repeats", "steps"])
def test_counts_start_at_one(field):
    with pytest.raises(ValueError, match=f"{field} is 0"):
        RePaint(**{field: 0})

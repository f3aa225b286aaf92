import pytest
import torch
from tests.helpers import normal

from posteriori.metrics import credible_interval, standardized, t_quantile


@pytest.mark.parametrize("n", [2, 5, 30])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_intervals_hold_what_they_say_of_a_gaussian(n, level):
    trials = 40_000
    drawn = 3 + 2 * normal(n + 1, trials, seed=n, dtype=torch.float64)
    truth, x = drawn[0], drawn[1:]
    covered = credible_interval(x, level, bounds=None).covers(truth).double().mean().item()
    assert covered == pytest.approx(level, abs=4 * (level * (1 - level) / trials) ** 0.5)
    narrow = credible_interval(x, level, widen=0.5, bounds=None).covers(truth).double().mean().item()
    assert narrow < level - 6 * (level * (1 - level) / trials) ** 0.5


def test_a_standardized_error_below_the_quantile_is_one_inside():
    x, truth = normal(6, 1000, seed=1), normal(1000, seed=2)
    for level, widen in ((0.5, 1.0), (0.9, 1.7)):
        inside = credible_interval(x, level, widen=widen, bounds=None).covers(truth)
        assert (standardized(x, truth) <= widen * t_quantile(level, 6)).eq(inside).all()


def test_samples_that_are_all_the_same_are_sure_and_are_right_or_infinitely_wrong():
    x, truth = torch.ones(3, 2), torch.tensor([1.0, 1.5])
    assert standardized(x, truth).tolist() == [0, torch.inf]
    assert credible_interval(x, 0.9, bounds=(-1, 1)).covers(truth).tolist() == [True, False]
    assert credible_interval(x, 0.9, bounds=(-1, 1)).width.tolist() == [0, 0]


def test_the_ends_stay_in_the_prior_s_bounds():
    low, high = credible_interval(torch.tensor([[-0.9, 0.0], [0.9, 0.01]]), 0.9, bounds=(-1, 1))
    assert (low[0].item(), high[0].item()) == (-1, 1)
    assert -1 < low[1] < high[1] < 1


def test_what_has_no_interval_is_refused():
    with pytest.raises(ValueError, match="got 1 sample: an interval needs at least 2"):
        credible_interval(torch.zeros(1, 3), 0.9, bounds=None)
    for level in (0.0, 1.0, 90.0):
        with pytest.raises(ValueError, match=f"the level is {level}: give one between 0 and 1"):
            credible_interval(torch.zeros(2, 3), level, bounds=None)

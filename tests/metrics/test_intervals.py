import numpy as np
import pytest
from scipy import stats
from tests.helpers import normal

from posteriori.metrics import chi_square_range, t_quantile
from posteriori.metrics.intervals import Estimate, Mean


def test_an_interval_covers_the_mean_as_often_as_it_says():
    """The bootstrap's of 30 normal values, whose coverage is a little below (Efron and Tibshirani 1993)."""
    rng = np.random.default_rng(0)
    covered = [(e := Estimate.of(rng.normal(2.0, 1.0, 30))).low <= 2.0 <= e.high for _ in range(300)]
    assert 0.90 < np.mean(covered) < 0.98
    seeds = Estimate.of(np.array([[1.0, 3.0], [2.0, 6.0]]))
    assert (seeds.mean, seeds.n) == (3.0, 2)
    assert np.isnan(Estimate.of(np.array([1.0])).low)


def test_brackets_are_the_quantiles_of_resampled_means():
    own = normal(20, seed=1).double().numpy()
    found = Estimate.of(own, seed=3)
    drawn = own[np.random.default_rng(3).integers(0, 20, (10_000, 20))].mean(1)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=1e-12)
    assert found.text(2) == f"{own.mean():.2f} [{found.low:.2f}, {found.high:.2f}]"


@pytest.mark.parametrize("n", [2, 5, 20])
def test_plus_or_minus_holds_the_mean_of_a_gaussian_19_times_of_20(n):
    drawn = normal(4000, n, seed=n).numpy()
    covered = [abs((m := Mean.of(own)).mean) <= m.error for own in drawn]
    assert np.mean(covered) == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 4000) ** 0.5)
    own = Mean.of(drawn[0])
    ends = stats.t.interval(0.95, n - 1, drawn[0].mean(), stats.sem(drawn[0]))
    assert (own.mean - own.error, own.mean + own.error) == pytest.approx(ends, rel=1e-5)
    assert own.std == pytest.approx(drawn[0].std(ddof=1), rel=1e-5)
    assert own.text(2, "+") == f"{own.mean:+.2f} ± {own.error:.2f}"


def test_one_value_has_no_interval():
    assert Mean.of([2.0]).text(1) == "2.0"


def test_two_means_are_compared_as_two_independent_runs():
    x, y = normal(5).numpy(), 0.3 + normal(10, seed=1).numpy()
    assert Mean.of(x).p_value(Mean.of(y)) == pytest.approx(stats.ttest_ind(x, y).pvalue, rel=1e-4)
    assert [Mean(1.0, 0.0, 5).p_value(Mean(other, 0.0, 5)) for other in (1.0, 1.1)] == [1.0, 0.0]


@pytest.mark.parametrize("m", [1, 12, 12_288])
def test_quantiles_are_scipy_s(m):
    assert chi_square_range(m, 0.9) == pytest.approx(stats.chi2.ppf([0.05, 0.95], m) / m, rel=1e-9)
    assert t_quantile(0.9, m + 1) == pytest.approx(stats.t.ppf(0.95, m), rel=1e-9)

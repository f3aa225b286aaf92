import math
from itertools import pairwise

import numpy as np
import pytest
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

from posteriori.samplers import AnnealedLangevin
from posteriori.schedule import CLEAN, Level, RectifiedFlow, VPSchedule, cosine_betas, linear_betas
from tests.helpers import LINEAR


def test_alpha_bar_equals_diffusers():
    linear = DDPMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="linear").alphas_cumprod.numpy()
    np.testing.assert_allclose(LINEAR.alpha_bar[1:], linear, rtol=2e-5)
    cosine = DDPMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod.numpy()
    np.testing.assert_allclose(cosine_betas().alpha_bar[1:], cosine, rtol=2e-5, atol=1e-9)
    assert LINEAR.alpha_bar[0] == 1


def network_times(path):
    assert path[-1] == CLEAN == (0, 1, 0)
    return [level.t - 1 for level in path[:-1]]


def test_spacings():
    assert network_times(LINEAR.path(10)) == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    assert network_times(LINEAR.path(10, "leading")) == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    assert network_times(LINEAR.path(1000)) == network_times(LINEAR.path(1000, "leading")) == list(range(999, -1, -1))
    assert network_times(LINEAR.path(1)) == [999]
    assert network_times(LINEAR.path([1000, 400.5, 3])) == [999, 399.5, 2]
    quadratic = [999 - 999 * (i / 4) ** 0.5 for i in range(5)]
    assert network_times(LINEAR.path(5, "quadratic")) == pytest.approx(quadratic)
    edm = LINEAR.path(5, "edm")
    assert (edm[0].t, edm[4].t, LINEAR.path(1, "edm")[0].t) == (1000, 1, 1000)
    roots = [(level.sigma / level.alpha) ** (1 / 7) for level in edm[:-1]]
    assert [a - b for a, b in pairwise(roots)] == pytest.approx([(roots[0] - roots[-1]) / 4] * 4)
    assert len(LINEAR.path(1000, "edm")) == 1001


@pytest.mark.parametrize("steps", [2, 7, 50, 250, 333])
def test_linspace_is_guided_diffusions(steps):
    # space_timesteps of guided-diffusion, one section
    stride, at, times = 999 / (steps - 1), 0.0, []
    for _ in range(steps):
        times.append(round(at))
        at += stride
    assert network_times(LINEAR.path(steps)) == times[::-1]


@pytest.mark.parametrize(
    ("steps", "spacing", "message"),
    [
        (0, "linspace", "steps is 0; this schedule has 1000 levels"),
        (1001, "linspace", "steps is 1001"),
        (10, "trailing", "give 'linspace', 'leading', 'quadratic' or 'edm'"),
        ([1, 2], "linspace", "give the noisiest first"),
        ([3, 3], "linspace", "give the noisiest first"),
        ([3, 0], "linspace", "stay above 0"),
        ([], "linspace", "strictly"),
        ([1001], "linspace", "times 0 to 1000"),
    ],
)
def test_bad_paths(steps, spacing, message):
    with pytest.raises(ValueError, match=message):
        LINEAR.path(steps, spacing)


@pytest.mark.parametrize("betas", [[0.0, 0.1], [0.5, 1.0], [[0.1]], [math.nan]])
def test_bad_betas(betas):
    with pytest.raises(ValueError, match=r"numbers in \(0, 1\)"):
        VPSchedule(betas)


@pytest.mark.parametrize("schedule", [linear_betas(), cosine_betas()])
def test_time_is_the_exact_integer_at_trained_levels(schedule):
    for t in range(1, schedule.T + 1):
        level = schedule.level(t)
        assert schedule.time(level.sigma / level.alpha) == t
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1, abs=1e-12)
        assert level.alpha == pytest.approx(math.sqrt(schedule.alpha_bar[t]), rel=1e-12)


def test_interpolation_rises_and_inverts():
    times = np.linspace(0, 1000, 4321)
    levels = [LINEAR.level(t) for t in times]
    assert all(a.sigma < b.sigma and a.alpha > b.alpha for a, b in pairwise(levels))
    for level in levels:
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1, abs=1e-12)
        if level.t >= 1:
            assert LINEAR.time(level.sigma / level.alpha) == pytest.approx(level.t, abs=1e-6)
    # halfway in log(sigma / alpha)
    bars = [LINEAR.level(t).sigma / LINEAR.level(t).alpha for t in (400, 400.5, 401)]
    assert bars[1] == pytest.approx(math.sqrt(bars[0] * bars[2]))


def test_outside_the_trained_levels():
    first, last = LINEAR.level(1), LINEAR.level(1000)
    assert LINEAR.time(first.sigma / first.alpha / 10) == 1
    with pytest.raises(ValueError, match="the prior was trained up to 157"):
        LINEAR.time(1.01 * last.sigma / last.alpha)
    for t in (-1, 1000.5):
        with pytest.raises(ValueError, match="times 0 to 1000"):
            LINEAR.level(t)


def test_variance_exploding_levels():
    path = AnnealedLangevin(levels=20).path(LINEAR)
    assert path[-1] == CLEAN
    sigmas = [level.sigma for level in path[:-1]]
    assert [level.alpha for level in path] == [1.0] * 21
    assert [path[0].t, path[-2].t] == [1000, 1]
    ratios = [b / a for a, b in pairwise(sigmas)]
    np.testing.assert_allclose(ratios, ratios[0])
    for level in path[:-1]:
        same = LINEAR.level(level.t)
        assert same.sigma / same.alpha == pytest.approx(level.sigma, rel=1e-6)


FLOW = RectifiedFlow()


def test_rectified_flow_is_a_straight_path():
    assert [FLOW.level(t) for t in (0, 0.25, 1)] == [CLEAN, (0.25, 0.75, 0.25), (1, 0, 1)]
    for t in np.linspace(0.001, 1, 57):
        assert FLOW.time(FLOW.level(t).sigma_bar) == pytest.approx(t, rel=1e-12)
        assert FLOW.scale(FLOW.level(t)) == pytest.approx(1)
    assert (FLOW.time(math.inf), FLOW.index(1)) == (1, 1000)
    assert FLOW.scale(Level(0, 2.0, 3.0)) == 5
    assert not hasattr(FLOW, "T")
    with pytest.raises(ValueError, match="times 0 to 1"):
        FLOW.level(1.5)


def test_evenly_spaced_flow_is_diffusers_own():
    theirs = FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(13)
    path = FLOW.path(13)
    np.testing.assert_allclose([t.sigma for t in path], theirs.sigmas, rtol=1e-5)
    np.testing.assert_allclose([FLOW.index(t.t) for t in path[:-1]], theirs.timesteps, rtol=1e-5)


@pytest.mark.parametrize(
    ("spacing", "first", "last"),
    [("linspace", 1, 0.001), ("leading", 0.75, 0.001), ("quadratic", 1, 0.001), ("edm", 0.999, 0.001)],
)
def test_every_spacing_of_a_flow(spacing, first, last):
    path = FLOW.path(4, spacing)
    assert (path[0].t, path[-2].t, path[-1]) == (pytest.approx(first, abs=1e-3), pytest.approx(last), CLEAN)
    assert all(a.t > b.t for a, b in pairwise(path))
    assert len(FLOW.path(3000, spacing)) == 3001  # times are not counted
    assert FLOW.path(1, spacing)[-1] == CLEAN
    with pytest.raises(ValueError, match="steps is 0"):
        FLOW.path(0, spacing)


def test_what_a_level_says_where_there_is_no_signal_or_no_noise():
    assert FLOW.level(1).sigma_bar == math.inf
    assert [FLOW.level(t).log_snr for t in (1, 0.5, 0)] == [-math.inf, 0, math.inf]
    assert FLOW.level(1).with_signal() == (1, 0.001, 1)
    assert FLOW.level(0.5).with_signal() == FLOW.level(0.5)
    path = AnnealedLangevin(levels=3).path(FLOW)
    assert [t.sigma for t in path] == pytest.approx([999, 1, 1 / 999, 0])

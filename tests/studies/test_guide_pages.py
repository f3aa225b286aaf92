"""The studies of intervals, of costs, of limits and of processors, on samples whose answers are known."""

import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.helpers import normal

from posteriori.likelihoods import Gaussian
from posteriori.operators import BoxMask, Identity
from posteriori.rng import Purpose
from posteriori.sampler import Sampler, State
from posteriori.samplers import DDNM, DDRM, DPS, TDS
from posteriori.schedule import CLEAN
from posteriori.settings.text import format_spec
from posteriori.studies.guide import exact, fronts, same_seed, uncertainty
from posteriori.studies.guide.cells import LEVEL, _metrics
from posteriori.studies.guide.exact import Pooled, Shared, pooled
from posteriori.studies.guide.fronts import Point, Recommended, front, pick
from posteriori.studies.guide.uncertainty import Calibration
from posteriori.studies.verification.grid import Grid

SHAPE, N = (3, 32, 32), 4


def measured(spread, operator, seed=0):
    """What is measured of ``N`` samples of two pictures: of the truth's own law, but for their ``spread``."""
    truth = 0.2 * normal(2, *SHAPE, seed=seed)
    x = 0.2 * spread * normal(2, N, *SHAPE, seed=seed + 1)
    return _metrics(x, truth, operator, Gaussian.simulate(truth, operator, 0.05))


@pytest.mark.parametrize(("spread", "right"), [(1.0, True), (0.5, False), (2.0, False)])
def test_intervals_of_the_truths_law_cover_what_they_say_and_others_have_their_factor(spread, right):
    own = measured(spread, BoxMask(SHAPE, size=24))
    found = Calibration("dps", "inpainting", "", own, measured(spread, BoxMask(SHAPE, size=24), 7))
    assert found.part == 1  # what is hidden
    # the truth less the mean of N has the variance 1 + spread^2 / N; taken for it is spread^2 (1 + 1 / N)
    expected = ((1 + spread**2 / N) / (spread**2 * (1 + 1 / N))) ** 0.5
    assert found.factor == pytest.approx(expected, rel=0.06)
    assert found.coverage(LEVEL, expected).mean() == pytest.approx(LEVEL, abs=0.015)
    assert found.right == right


def test_the_page_of_intervals_names_what_is_right_and_what_is_not():
    wide, good, narrow = (measured(spread, Identity(SHAPE)) for spread in (2.0, 1.0, 0.5))
    found = [Calibration(name, "deconvolution", "", own, own) for name, own in
             (("ddrm", wide), ("dps", good), ("ddnm", narrow))]  # fmt: skip
    text = uncertainty.page(found, ["tds on deconvolution"], [("deconvolution", "dps", good)], "pictures")
    page = " ".join(text.split())
    assert "Correct as they are, covering 85% to 95%: dps." in page
    assert f"(factor needed): ddnm ({found[2].factor:.2g}). Too wide (factor): ddrm ({found[0].factor:.2g})." in page
    assert "Left out because they reached NaN: tds on deconvolution." in page
    assert found[2].factor > 1 > found[0].factor


def point(cls, cost, psnr, lpips, **metrics):
    found = {"seconds": cost, "calls": 10 * cost, "vjps": 0.0, "psnr": psnr, "lpips": lpips, "residual": 1.0}
    return Point(cls, 30, {name: np.array([float(value)]) for name, value in found.items()} | metrics)


def test_a_front_has_what_nothing_as_cheap_beats():
    points = [point(DPS, *own) for own in ((3, 24, 0.2), (1, 20, 0.3), (2, 24, 0.1), (2, 25, 0.15), (4, 30, 0.1))]
    found = lambda metric: [(p.mean("seconds"), p.mean(metric)) for p in front(points, "seconds", metric)]  # noqa: E731
    assert found("psnr") == [(1, 20), (2, 25), (4, 30)]
    assert found("lpips") == [(1, 0.3), (2, 0.1)]


def test_of_the_best_scores_the_nearest_coverage_is_recommended_and_never_particles(tmp_path):
    narrow, good = (measured(spread, Identity(SHAPE)) for spread in (0.5, 1.0))

    def scored(cls, own, score):
        return Point(cls, 30, point(cls, 1, 30, 0.1).metrics | own | {"interval_score": np.array([score])})

    points = [scored(DDRM, narrow, 1.00), scored(DPS, good, 1.04), scored(DDNM, good, 1.2), scored(TDS, good, 0.5)]
    chosen = pick(points)
    assert chosen.cls is DPS
    choice = Recommended("denoising", chosen, chosen)
    entry = fronts.entry(choice)
    assert (entry.goal, entry.operator, entry.sampler, entry.steps) == ("uncertainty", "identity", "dps", 30)
    assert entry.source.endswith(f"{fronts.coverage(chosen):.0%} in 90% intervals")
    (tmp_path / "verification.csv").write_text(
        "method,problem,statistic,steps,mean,floor\n"
        "dps,grid d=8 d_y=1,distance,100,4.2,2\n"
        "dps,grid d=8 d_y=1,distance,20,9,2\n"
        "dps,grid d=80 d_y=1,distance,100,9,2\n"
    )
    distances = fronts.read_distances(tmp_path)
    assert distances == {"dps": "2.1"}
    page = fronts.page({"denoising": points}, [choice], distances, "pictures")
    assert "| denoising | `dps` | 30 |" in page
    assert page.count("| dps | 30 |") == 1


@dataclass(frozen=True, kw_only=True)
class Known(Sampler):
    """Draws the posterior's own samples, or the prior's."""

    name: ClassVar[str] = "known"
    posterior: bool

    def path(self, schedule):
        return [schedule.level(schedule.T), CLEAN]

    def step(self, state, s, prior, like, rng):
        law = prior.prior if hasattr(prior, "prior") else prior
        law = law.posterior(like.select(slice(0, 1))) if self.posterior else law
        return State(law.draw(len(state.x), seed=int(rng.uniform()[0] * 1e6)), s, state.n)


def test_exact_samples_are_pooled_into_an_exact_distance(monkeypatch):
    monkeypatch.setattr(exact, "RUNS", 300)
    monkeypatch.setattr(exact, "PROBLEM", Grid(n=300, d=8, d_y=1))
    floor = np.array([exact.distance(exact.PROBLEM.exact(0, k)[0]) for k in range(20)])
    told = []
    found = pooled(Known(posterior=True), 4, told.append)
    assert abs(found - floor.mean()) < 5 * floor.std(ddof=1)
    assert sum(told) == 4 * 300
    assert pooled(Known(posterior=False), 4, told.append) > floor.mean() + 20 * floor.std(ddof=1)
    sampler = TDS(steps=4)
    table = exact.table({Pooled(format_spec(sampler), n): 2.0 - n / 1024 for n in exact.PARTICLES[:3]}, [sampler])
    assert f"| tds | 4 | 1.984 | 1.938 | 1.750 | not run | {floor.mean():.3f}" in table


def test_a_shared_stream_resamples_each_measurement_once():
    own = Shared(6, 3, 5, Purpose.SAMPLER)
    assert own.normal((2,)).shape == (6, 2)
    assert own.resampling.uniform().shape == (2,)
    assert torch.equal(Shared(6, 3, 5, Purpose.SAMPLER).uniform(), Shared(6, 3, 5, Purpose.SAMPLER).uniform())
    assert not torch.equal(Shared(6, 3, 5, Purpose.SAMPLER).uniform(), Shared(6, 3, 6, Purpose.SAMPLER).uniform())


def test_processors_are_compared_in_shades(tmp_path, monkeypatch, capsys):
    """One pixel of an image is a shade of 255 lighter under the second setting."""

    def restored(command, env, check):
        x = np.zeros((1, 1, 1, 2, 2))
        x[..., 0, 0] = 2 / 255 if "MKL_CBWR" in env else 0
        np.save(f"{command[-1]}/ddnm.npy", x)

    monkeypatch.setattr(same_seed.subprocess, "run", restored)
    monkeypatch.delenv("MKL_CBWR", raising=False)
    words = ["same_seed", "--samplers", "ddnm", "--settings", "0", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    same_seed.main()
    assert capsys.readouterr().out.split() == ["ddnm", "1", "0.5"]


def test_a_processors_picture_is_restored_once(tmp_path, monkeypatch):
    monkeypatch.setattr(same_seed, "resolve", lambda cls, *_, **__: type("Resolved", (), {"sampler": cls(steps=2)}))
    same_seed.restore([DDNM], "float32", tmp_path)
    (written,) = tmp_path.iterdir()
    assert np.load(written).shape == (1, 1, 3, 64, 64)
    before = written.stat().st_mtime_ns
    same_seed.restore([DDNM], "float32", tmp_path)
    assert written.stat().st_mtime_ns == before

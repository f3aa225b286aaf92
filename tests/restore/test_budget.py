"""What a picture will take, and how many steps there is time for."""

from types import SimpleNamespace

import pytest

from posteriori.hub.load import load_prior, prior_record
from posteriori.images.files import load_image, save_image
from posteriori.likelihoods import GaussianNoise
from posteriori.restore import budget
from posteriori.restore.inputs import Source
from posteriori.restore.methods import Posterior, Sampling
from posteriori.restore.restoration import Restoration
from posteriori.settings.text import read_operator, read_sampler


def test_times_as_people_write_them():
    assert [budget.read_duration(text) for text in ("60s", "90", "10m", "2 min", "1.5h")] == [60, 90, 600, 120, 5400]
    for text in ("", "0s", "-1s", "soon", "1d"):
        with pytest.raises(ValueError, match=r"^--time is '.*': give a time like 60s, 10m or 1h$"):
            budget.read_duration(text)


@pytest.fixture
def photo(tmp_path):
    save_image(load_image("coffee")[..., :128, :160], tmp_path / "x.png")

    def restoration(sampler="ddim", steps=30):
        return Restoration(
            prior=load_prior("photo", dtype="float32"),
            prior_record=prior_record("photo"),
            method=Posterior(read_sampler(sampler), steps, 1),
            operator=read_operator("gaussian-blur(sigma=1.0)"),
            masks=None,
            noise=GaussianNoise(0.05),
            seed=0,
            simulate=False,
            fit=None,
            batch=None,
        )

    return restoration, Source(str(tmp_path / "x.png"), "x")


def test_a_large_picture_is_timed_by_a_part_of_it(photo, monkeypatch):
    restoration, source = photo
    whole = restoration()
    whole.prior.tile = 96
    case = whole.case(source)
    assert case.prior.tiles > 1
    timed = []
    monkeypatch.setattr(Sampling, "seconds", lambda self, prior, like: (timed.append(prior.shape), 2.0)[1])
    seconds = budget.seconds_of_a_picture(whole, case)
    (part,) = timed
    assert part[1] <= 96
    height, width = case.prior.tile_size
    assert seconds == 2.0 * case.prior.tiles * height * width / (part[1] * part[2])


def test_as_many_steps_as_there_is_time_for_are_taken_and_kept(photo, tmp_path, monkeypatch):
    restoration, source = photo
    monkeypatch.setattr(budget, "seconds_of_a_picture", lambda r, case: 2.0 * r.steps)  # two seconds a step
    run = lambda seconds, free=False, **more: budget.within(  # noqa: E731
        restoration(**more), [source], seconds, tmp_path / str(seconds), free=free
    )
    assert run(1e4).steps == 30, "never more than its own"
    assert run(40).steps == int(0.85 * 40 / 2)
    with pytest.raises(ValueError, match=r"^--time is 8s, and a step takes 2s for each of 1: give 9s or more"):
        run(8)
    monkeypatch.setattr(budget, "seconds_of_a_picture", lambda r, case: 9.0 * r.steps)
    assert run(40).steps == int(0.85 * 40 / 2), "the same command takes the same again"


def test_where_it_is_free_a_quick_sampler_takes_the_place_of_a_slow_one(photo, tmp_path, monkeypatch):
    restoration, source = photo

    def seconds(own, case):
        return own.steps * (1.0 if own.method.spec.cls.name == "dpir" else 10.0)

    monkeypatch.setattr(budget, "seconds_of_a_picture", seconds)
    for _ in range(2):
        quick = budget.within(restoration(), [source], 20, tmp_path / "free", free=True)
        assert (quick.method.spec.cls.name, quick.steps) == ("dpir", 8)
        assert quick.case(source).method.resolved.sampler.steps == 8
    with pytest.raises(ValueError, match="a step takes 10s"):
        budget.within(restoration(), [source], 20, tmp_path / "own", free=False)
    assert budget.within(SimpleNamespace(method=None), [source], 1, tmp_path, free=True).method is None

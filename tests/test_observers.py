import torch

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import CountedPrior, Trajectory
from posteriori.operators import Identity
from posteriori.samplers import DDIM, DPS, AnnealedLangevin
from tests.helpers import IMAGE, image_mixture

PRIOR = image_mixture()
LIKE = Gaussian(PRIOR.draw(3), Identity(IMAGE), 0.2)


def run(sampler, prior=PRIOR, **settings):
    return sample(prior, LIKE, sampler, **({"progress": False} | settings))


def test_trajectory():
    trajectory = Trajectory()
    samples = run(DPS(steps=6), n=2, callbacks=[trajectory])
    assert trajectory.levels == DPS(steps=6).path(PRIOR.schedule)[1:]
    assert [len(trajectory.x), len(trajectory.x0), len(trajectory.stats)] == [6, 6, 6]
    assert torch.equal(trajectory.x[-1], samples.flatten(0, 1))
    assert all(x.shape == (6, *IMAGE) for x in trajectory.x + trajectory.x0)
    for x0, stats in zip(trajectory.x0, trajectory.stats, strict=True):
        residual = (LIKE.y.repeat_interleave(2, 0) - x0).flatten(1).norm(dim=1)
        torch.testing.assert_close(stats["residual"], residual)
        assert stats["gradient"].shape == (6,)


def test_a_step_changes_no_record():
    trajectory = Trajectory()
    run(DDIM(steps=6), callbacks=[trajectory, lambda state, *_: state.x.add_(0.0)])
    assert len({x.data_ptr() for x in trajectory.x}) == 6
    assert not torch.equal(trajectory.x[0], trajectory.x[1])


def test_callbacks_know_the_step_and_the_rows():
    seen = []
    run(DDIM(steps=2), n=2, batch=4, callbacks=[lambda state, *given: seen.append((len(state.x), *given))])
    first, second = slice(0, 2), slice(2, 3)
    assert seen == [(4, 1, 2, first), (4, 2, 2, first), (2, 1, 2, second), (2, 2, 2, second)]


def test_counts():
    counted = CountedPrior(PRIOR)
    found = run(DPS(steps=6), counted, n=2)
    assert torch.equal(found, run(DPS(steps=6), n=2))
    assert (counted.calls, counted.images, counted.vjps) == (6, 36, 36)
    run(DPS(steps=6), counted, n=2, batch=2)
    assert (counted.calls, counted.images) == (6 + 18, 72)
    again = CountedPrior(PRIOR)
    run(AnnealedLangevin(levels=5, inner=2), again)
    assert (again.calls, again.images, again.vjps) == (11, 33, 0)  # and the last mean


def test_no_bar_without_a_terminal(capsys):
    silent = run(DDIM(steps=3), progress=True)
    assert torch.equal(silent, run(DDIM(steps=3)))
    assert capsys.readouterr() == ("", "")

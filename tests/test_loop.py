"""What the loop asks of the device, and when it says that a chain has diverged."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from posteriori import loop
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import ShownResidual
from posteriori.operators import Identity
from posteriori.priors.base import Denoised
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import DDIM, DPS, Reverse
from tests.helpers import normal

PRIOR = GaussianMixture(normal(1, 4), torch.eye(4)[None])
LIKE = Gaussian(normal(2, 4, seed=1), Identity((4,)), 0.3)


class Reads(TorchDispatchMode):
    """Counts what makes the host wait for a device: item(), bool(), float() and tolist() of a tensor."""

    count = 0

    def add(self):
        self.count += 1

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            self.add()
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("sampler", [DDIM(), DPS(), Reverse()], ids=lambda sampler: sampler.name)
@pytest.mark.parametrize(("device", "looks"), [("cpu", 32), ("cuda", 2)])
def test_on_a_gpu_no_step_waits_for_the_device(sampler, device, looks, monkeypatch):
    monkeypatch.setitem(loop.LOOK_EVERY, "cpu", loop.LOOK_EVERY[device])
    counts, tolist = [], torch.Tensor.tolist
    for steps in (32, 64):
        with Reads() as reads, monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "tolist", lambda x, reads=reads: reads.add() or tolist(x))
            sample(PRIOR, LIKE, sampler.with_steps(steps), progress=False)
        counts.append(reads.count)
    assert counts[1] - counts[0] == looks


class Breaks(GaussianMixture):
    def denoise(self, x_t, t):
        return Denoised(super().denoise(x_t, t).x0 * (1.0 if t.t > 500 else float("nan")))


@pytest.mark.parametrize("steps", [20, 100])
def test_a_late_look_names_the_same_step(steps, monkeypatch):
    broken = Breaks(PRIOR.means, PRIOR.covariances)
    messages = []
    for every in (1, 16, 1000):
        monkeypatch.setitem(loop.LOOK_EVERY, "cpu", every)
        with pytest.raises(FloatingPointError, match="at step") as error:
            sample(broken, LIKE, DDIM(steps=steps), progress=False)
        messages.append(str(error.value))
    assert len(set(messages)) == 1
    assert f"at step {steps // 2 + 1} of {steps}" in messages[0]


def test_a_statistic_that_nobody_reads_is_not_computed(monkeypatch):
    calls = Counter()
    right = Gaussian.misfit
    monkeypatch.setattr(Gaussian, "misfit", lambda self, x: calls.update(misfit=1) or right(self, x))
    sample(PRIOR, LIKE, DDIM(steps=10), progress=False)
    assert calls["misfit"] == 0
    read = lambda state, *_: [state.stats["residual"], state.stats["residual"]]  # noqa: E731
    sample(PRIOR, LIKE, DDIM(steps=10), progress=False, callbacks=[read])
    assert calls["misfit"] == 10


def test_a_bar_reads_the_residual_when_it_is_redrawn(monkeypatch):
    now, shown, residual = [0.0], [], ShownResidual()
    monkeypatch.setattr("posteriori.observers.time.monotonic", lambda: now[0])

    def watch(state, step, steps, rows):
        now[0] += 0.03
        shown.append(residual(state))

    sample(PRIOR, LIKE, DDIM(steps=20), progress=False, callbacks=[watch])
    assert len(set(shown)) == 5  # 0.6 s
    assert all(value > 0 for value in shown)

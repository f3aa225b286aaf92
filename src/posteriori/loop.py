"""``sample``: the one loop that every method runs under."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import product

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Likelihood
from posteriori.observers import progress_bar
from posteriori.priors.base import Prior
from posteriori.rng import Rng, whole
from posteriori.sampler import Callback, Sampler
from posteriori.samplers import SAMPLERS
from posteriori.schedule import Level

#: steps from one look at whether the state is finite to the next: on a GPU the host waits for the device to look
LOOK_EVERY = {"cpu": 1, "cuda": 16, "mps": 16}


@torch.inference_mode(False)  # in which gradients could not be taken, whoever asked for it outside
@torch.no_grad()
def sample(
    prior: Prior,
    likelihood: Likelihood,
    sampler: Sampler,
    *,
    n: int = 1,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    batch: int | None = None,
    rng: Callable[[slice], Rng] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Tensor:
    """Draws ``n`` posterior samples for each of the N measurements: (N, n, *shape), float32, on the prior's device.

    ``seed`` and ``keys`` determine the random streams. By default, keys come from the content of the measurements.
    ``rng`` replaces these streams: it makes the draws for a chunk of measurements, with all samples of each, e.g. from
    a ``Tape``. Seeded streams are float32, so that measurements in float64 are converted; with ``rng`` they are not.

    ``batch`` is the number of rows of a network call (default: all). The samples of a measurement are split if they do
    not fit, unless the sampler draws them together. ``callbacks`` are called at every step. ``progress`` shows a bar on
    a terminal.

    Raises PosterioriError if prior, likelihood and sampler do not fit together, and FloatingPointError at the first NaN
    or infinity. On a GPU it is raised up to 16 steps later, and names the step at which it occurred.
    """
    N = len(likelihood)
    if n < 1:
        raise PosterioriError(f"n is {n}: give at least 1 sample a measurement")
    if batch is not None and batch < 1:
        raise PosterioriError(f"batch is {batch}: give at least 1 row")
    if likelihood.shape != prior.shape:
        raise PosterioriError(
            f"the likelihood is about {likelihood.shape}, the prior about {prior.shape}: give both one shape"
        )
    admit(sampler, likelihood)
    if keys is not None and len(keys) != N:
        raise PosterioriError(f"{len(keys)} keys for {N} measurements: give one each")
    keys, seed = likelihood.keys() if keys is None else keys, whole(seed)
    path = sampler.path(prior.schedule)
    group = N if batch is None else max(1, batch // n)
    chunks = [slice(i, min(i + group, N)) for i in range(0, N, group)]
    most = n if batch is None or sampler.interacting or rng else batch
    shares = [(first, min(most, n - first)) for first in range(0, n, most)]
    samples = []
    total = len(chunks) * len(shares) * (len(path) - 1)
    bar = progress_bar(type(sampler).__name__, total) if progress else nullcontext()
    with bar as show:
        watchers = [*callbacks, *([show] if show else [])]
        for rows, (first, count) in product(chunks, shares):
            like = likelihood.select(rows).expand(count).to(prior.device, None if rng else torch.float32)
            streams = rng(rows) if rng else Rng(seed, keys[rows], count, first=first, device=prior.device)
            state = sampler.init(path[0], prior, like, streams, count)
            finite = _Finite(sampler, prior, path)
            for k, s in enumerate(path[1:], 1):
                state = sampler.step(state, s, prior, like, streams)
                finite.check(state.x, k)
                if state.x0 is not None:
                    state.stats.default("residual", lambda x0=state.x0, like=like: like.misfit(x0).norm(dim=1))
                for watch in watchers:
                    watch(state, k, len(path) - 1, rows)
            samples.append(state.x.unflatten(0, (-1, count)))
    chunked = [samples[i : i + len(shares)] for i in range(0, len(samples), len(shares))]
    return torch.cat([torch.cat(own, dim=1) for own in chunked])


def admit(sampler: Sampler, likelihood: Likelihood) -> None:
    """Raises PosterioriError, which names the samplers that fit, if ``sampler`` does not take such a ``likelihood``."""
    if isinstance(likelihood, sampler.requires):
        return
    fit = ", ".join(cls.name for cls in SAMPLERS if isinstance(likelihood, cls().requires))
    raise PosterioriError(
        f"{type(sampler).__name__} needs {sampler.requires.needs}; this likelihood has {likelihood.about}: take one of "
        f"{fit}"
    )


class _Finite:
    """Checks that the states of a chain are finite. Their norms stay on the device until it reads several."""

    def __init__(self, sampler: Sampler, prior: Prior, path: Sequence[Level]):
        self.sampler, self.prior, self.path = sampler, prior, path
        self.every = LOOK_EVERY.get(prior.device.type, 1)
        self.norms: list[Tensor] = []

    def check(self, x: Tensor, step: int) -> None:
        """Notes the state ``x`` after ``step``. Raises FloatingPointError if a noted state is not finite."""
        self.norms.append(x.norm())  # NaN or infinity in any entry shows in it
        if step % self.every and step < len(self.path) - 1:
            return
        finite = torch.stack(self.norms).isfinite().tolist()
        self.norms.clear()
        if not all(finite):
            self._fail(step - len(finite) + 1 + finite.index(False))

    def _fail(self, step: int) -> None:
        t, s, prior = self.path[step - 1], self.path[step], self.prior
        noise = math.hypot(t.alpha, t.sigma) * Rng(0, [0], device=prior.device).normal(prior.shape)
        own = torch.isfinite(prior.denoise(noise, t).x0).all()
        bad = "the prior gives that for plain noise, too: check its weights, or its dtype"
        raise FloatingPointError(
            f"{type(self.sampler).__name__} reached NaN or infinity at step {step} of {len(self.path) - 1} "
            f"(t = {s.t:g}, sigma = {s.sigma:.3g}): {self.sampler.advice() if own else bad}"
        )

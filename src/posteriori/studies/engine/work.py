"""The computation of one group of a run's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posteriori.images.files import to_uint8
from posteriori.kernels import forward
from posteriori.likelihoods import Flat, Likelihood, Measured
from posteriori.loop import sample
from posteriori.metrics import psnr
from posteriori.observers import CountedPrior
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.restore.manifest import score
from posteriori.rng import Purpose, Rng, image_key
from posteriori.sampler import State
from posteriori.settings.text import parse_operator, parse_sampler
from posteriori.studies.engine.plan import DENOISE, MEASUREMENT, Run

#: gets the number of network calls so far, after every step
Tick = Callable[[int], None]

METRICS = ("psnr", "ssim", "lpips", "residual", "hole")
#: the prefix of the names of a ``Group``'s arrays in files, by field
PREFIXES = {"metrics": "figures", "trace": "trace", "pictures": "pictures"}


@dataclass(frozen=True)
class Group:
    """The results of a group of B rows, as arrays for a file.

    ``metrics``: (B,) each of psnr, ssim, lpips, residual |y - A x| / (sigma sqrt m) and hole, the PSNR of the pixels
    that a mask hides; NaN where not defined, or if the sampler diverged. ``trace`` of S steps: t (S,), and (S, B) each
    of residual, gradient, and psnr of x0hat. ``pictures``, uint8: x and y (B, H, W, 3), and path (F, 2, B, H, W, 3)
    with x_t and x0hat.
    """

    metrics: dict[str, np.ndarray]
    trace: dict[str, np.ndarray]
    pictures: dict[str, np.ndarray]
    calls: int


def compute(run: Run, rows: list[tuple[int, int]], prior: Prior, truth: Tensor | None, tick: Tick) -> Group:
    """Computes the group of ``rows``, (picture, seed) each. ``truth`` are their pictures, (B, 3, H, W), if any."""
    seeds = [seed for _, seed in rows]
    counted = CountedPrior(prior)
    recorder = _Recorder(run, truth, counted, tick)
    like = _likelihood(run, truth, seeds)
    nothing = {name: np.full(len(rows), np.nan) for name in METRICS}
    try:
        x = _restore(run, like, counted, truth, seeds, recorder)
    except FloatingPointError:  # it diverged, e.g. by a step that is too large: this setting has no metrics
        return Group(nothing, {}, {}, counted.calls)
    metrics = nothing | (_metrics(x, truth, like, run.noise.level) if truth is not None else {})
    return Group(metrics, recorder.trace, recorder.pictures(x, like), counted.calls)


def joined(parts: Sequence[Group]) -> Group:
    """``parts``, computed one after the other, as one group. ``calls`` is that of one part: a row is in no other."""
    first = parts[0]
    metrics = {name: np.concatenate([part.metrics[name] for part in parts]) for name in first.metrics}
    return Group(metrics, joined_traces([part.trace for part in parts]),
                 joined_pictures([part.pictures for part in parts]), first.calls)  # fmt: skip


def joined_traces(traces: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Traces of several groups with the same steps, as of one group; empty if a row diverged."""
    if not all(traces):
        return {}
    return {"t": traces[0]["t"]} | {
        name: np.concatenate([trace[name] for trace in traces], axis=1) for name in traces[0] if name != "t"
    }


def joined_pictures(kept: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Pictures of several groups, as of one group; those that all of them have."""
    names = [name for name in kept[0] if all(name in arrays for arrays in kept)]
    return {name: np.concatenate([arrays[name] for arrays in kept], axis=2 if name == "path" else 0) for name in names}


def _likelihood(run: Run, truth: Tensor | None, seeds: list[int]) -> Likelihood:
    if not run.operator or truth is None:
        return Flat(len(seeds), run.shape)
    operator = parse_operator(run.operator, run.shape)
    return run.noise.simulate(truth, operator, seed=seeds)


def _restore(
    run: Run, like: Likelihood, prior: Prior, truth: Tensor | None, seeds: list[int], recorder: _Recorder
) -> Tensor:
    if run.method == MEASUREMENT:
        return like.initial_estimate()
    if run.method.startswith(DENOISE) and truth is not None:
        level = prior.schedule.level(float(run.method.removeprefix(f"{DENOISE}(t=").removesuffix(")")))
        rng = Rng(seeds, [image_key(row[None]) for row in truth], purpose=Purpose.MEASUREMENT, device=prior.device)
        x_t = forward(truth.to(prior.device), level, rng.normal(run.shape))
        with torch.no_grad():
            x0 = prior.denoise(x_t, level).x0
        recorder.keep(x_t, x0)
        return x0.cpu()
    # these depend on a row's content and seed alone, not on the other rows of the batch
    keys = like.keys() if isinstance(like, Measured) else [0] * len(seeds)
    streams = lambda rows: Rng(seeds[rows], keys[rows], device=prior.device)  # noqa: E731
    sampler = parse_sampler(run.method)
    return sample(prior, like, sampler, rng=streams, callbacks=[recorder], progress=False)[:, 0].cpu()


def _metrics(x: Tensor, truth: Tensor, like: Likelihood, sigma: float) -> dict[str, np.ndarray]:
    scores = [score(a[None], b[None]) for a, b in zip(x, truth, strict=True)]
    metrics = {name: np.array([s[name] for s in scores], np.float64) for name in ("psnr", "ssim", "lpips")}
    if isinstance(like, Measured):
        residual = like.residual(x).square().mean(1).sqrt() if sigma else like.misfit(x).norm(dim=1)
        metrics["residual"] = residual.double().numpy()
        metrics["hole"] = hole_psnr(x, truth, like.operator)
    return metrics


def hole_psnr(x: Tensor, truth: Tensor, operator: Operator) -> np.ndarray:
    """PSNR (dB) of the entries that a mask hides, (B,); NaN if ``operator`` hides none."""
    if operator.measured_shape == operator.shape:
        hidden = operator.zero_filled(torch.ones(1, *operator.shape))[0] == 0
        if hidden.any():
            return psnr(x, truth, hidden).double().numpy()
    return np.full(len(x), np.nan)


def _pixels(x: Tensor) -> np.ndarray:
    return np.stack([to_uint8(row) for row in x])


class _Recorder:
    """A callback that keeps a run's trace and its pictures."""

    def __init__(self, run: Run, truth: Tensor | None, prior: CountedPrior, tick: Tick):
        self.run, self.truth, self.prior, self.tick = run, truth, prior, tick
        self._times: list[float] = []
        self._stats: list[dict[str, np.ndarray]] = []
        self._path: list[np.ndarray] = []

    def __call__(self, state: State, step: int, steps: int, rows: slice) -> None:
        self._times.append(state.level.t)
        stats = {name: value.cpu().numpy() for name, value in state.stats.items() if value.numel()}
        if state.x0 is not None:
            if self.truth is not None:
                stats["psnr"] = psnr(state.x0.cpu(), self.truth).numpy()
            if self.run.frames > 1 and step in self._kept(steps):
                self.keep(state.x, state.x0)
        self._stats.append(stats)
        self.tick(self.prior.calls)

    def _kept(self, steps: int) -> list[int]:
        return np.linspace(1, steps, min(self.run.frames, steps)).round().astype(int).tolist()

    def keep(self, x_t: Tensor, x0: Tensor) -> None:
        if self.run.frames > 1:
            self._path.append(np.stack([_pixels(x_t.cpu()), _pixels(x0.cpu())]))

    @property
    def trace(self) -> dict[str, np.ndarray]:
        """t of the state after each step, and what was recorded at each."""
        if not self._stats:
            return {}
        return {"t": np.array(self._times)} | {
            name: np.stack([stats[name] for stats in self._stats]) for name in self._stats[0]
        }

    def pictures(self, x: Tensor, like: Likelihood) -> dict[str, np.ndarray]:
        if not self.run.frames:
            return {}
        kept = {"x": _pixels(x)}
        if isinstance(like, Measured) and like.y.ndim == 4 and like.y.shape[1] == 3:
            kept["y"] = _pixels(like.y)
        return kept | ({"path": np.stack(self._path)} if self._path else {})

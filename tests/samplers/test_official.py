"""Chains of fifteen official implementations, replayed draw for draw in float64.

tests/golden/samplers has one recording a sampler, and beside it a JSON that says of what code, with which changes, on
which prior, operator and settings.
"""

import json
import math
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import Trajectory
from posteriori.operators import Dense, Downsample, Identity, Mask
from posteriori.priors.base import Denoised, Prior
from posteriori.priors.mixture import GaussianMixture
from posteriori.rng import Tape
from posteriori.samplers import SAMPLERS, mcgdiff
from posteriori.samplers.particles import Resampled
from posteriori.samplers.pnpdm import _towards_y
from tests.helpers import LINEAR

GOLDEN = Path(__file__).parents[1] / "golden" / "samplers"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))
SHAPE = (1, 4, 4)
#: rounding of float64, which DiffPIR's Fourier transforms multiply to 5e-11; that of all others is below 4e-12
CLOSE = {"atol": 1e-9, "rtol": 1e-9}


class Network(Prior):
    """A small network of recorded weights that estimates eps, of x_t at unit variance, and perhaps a variance."""

    shape, schedule = SHAPE, LINEAR

    def __init__(self, weights, variance):
        self.weights, self.variance = weights, variance

    def denoise(self, x_t, t):
        i, x, own = (t.t - 1) / LINEAR.T, x_t / math.hypot(t.alpha, t.sigma), self.weights
        time = torch.tensor([math.sin(3 * i), math.cos(5 * i)], dtype=x.dtype)
        hidden = torch.tanh(x.flatten(1) @ own["w1"].T + own["b1"] + own["e"] @ time)
        eps = 0.9 * x + (hidden @ own["w2"].T).unflatten(1, SHAPE)
        fraction = None
        if self.variance is not None:
            fraction = ((torch.tanh(x_t.flatten(1) @ self.variance.T) + 1) / 2).unflatten(1, SHAPE)
        return Denoised((x_t - t.sigma * eps) / t.alpha, fraction)


@cache
def settings(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())["cases"]


@cache
def tensors(name):
    return load_file(GOLDEN / f"{name}.safetensors")


CHAINS = [(name, case) for name in NAMES for case, chosen in settings(name).items() if "sampler" in chosen]
STEPS = [(name, case) for name in NAMES for case, chosen in settings(name).items() if "sampler" not in chosen]


def close(found, expected):
    torch.testing.assert_close(found, expected, **CLOSE)


def under(data, prefix):
    return {key.removeprefix(f"{prefix}."): value for key, value in data.items() if key.startswith(f"{prefix}.")}


def operator(text, data):
    kind, key = re.fullmatch(r"(\w+)(?:\((.*)\))?", text).groups()
    match kind:
        case "Identity":
            return Identity(SHAPE)
        case "Downsample":
            return Downsample(SHAPE, 2)
        case "Mask":
            return Mask(SHAPE, data[key])
        case _:
            return Dense(SHAPE, data[key])


def given(name, case):
    """The case's settings and tensors, and what ``sample`` takes."""
    data, chosen = tensors(name), settings(name)[case]
    own = under(data, case)
    prior = Network(under(data, "prior.network"), data.get("variance.weight"))
    if chosen.get("prior") == "mixture":
        prior = GaussianMixture(**under(data, "prior.mixture"))
    prior.bounds = tuple(chosen["bounds"]) if "bounds" in chosen else None
    like = Gaussian(own["y"], operator(chosen["operator"], data), chosen["sigma"])
    draws = [*own["draws"]] if "draws" in own else [*under(own, "draws").values()]  # .00, .01, ...
    return SimpleNamespace(chosen=chosen, own=own, prior=prior, like=like, draws=draws, n=chosen.get("n", 1))


def replay(run, sampler, monkeypatch):
    """The states of the chain, and the log-weights that MCGDiff would resample by."""
    trajectory, log_weights = Trajectory(), []

    def recorded(log_w, n, rng, *, last):
        """MCGDiff's code resamples by draws of its own: the particles that it chose."""
        log_weights.append(log_w)
        k = len(log_weights) - 1
        rows = run.own["ancestors"][k] if k < len(run.own["ancestors"]) else torch.arange(n)
        return Resampled(rows, torch.zeros(n), torch.full((n,), float(n)))

    monkeypatch.setattr(mcgdiff, "resample", recorded)
    settings = {"n": run.n, "rng": lambda rows: Tape(run.draws), "callbacks": [trajectory], "progress": False}
    sample(run.prior, run.like, sampler, **settings)
    return trajectory, log_weights


def compared(name, case, run):
    """How many states the code and the sampler share, without the first: the notes say why."""
    resampled_at_the_end = name == "tds"
    last_is_without_the_measurement = (name, case) == ("ddrm", "noiseless")
    return len(run.own["x"]) - 1 - (resampled_at_the_end or last_is_without_the_measurement)


@pytest.mark.parametrize(("name", "case"), CHAINS)
def test_the_chain_is_the_official_one(name, case, monkeypatch):
    run = given(name, case)
    cls = next(cls for cls in SAMPLERS if cls.name == name)
    if "times" in run.own:  # the code's levels are not the sampler's
        monkeypatch.setattr(cls, "path", lambda self, schedule: schedule.path(run.own["times"].tolist()))
    method = cls(**run.chosen["sampler"])
    path = method.path(LINEAR)
    for levels in ("sigmas", "rhos"):
        if levels in run.own:
            close(torch.tensor([t.sigma for t in path[:-1]], dtype=torch.float64), run.own[levels])
    first = method.init(path[0], run.prior, run.like.expand(run.n), Tape(run.draws), run.n)
    close(first.x, run.own["x"][0])
    trajectory, log_weights = replay(run, method, monkeypatch)
    states = compared(name, case, run)
    close(torch.stack(trajectory.x[:states]), run.own["x"][1 : states + 1])
    if "x0" in run.own:
        close(torch.stack(trajectory.x0), run.own["x0"])
    if "ess" in run.own:
        close(torch.stack([stats["ess"][0] for stats in trajectory.stats]), run.own["ess"][:-1])
        apart = (trajectory.x[-1][:, None] - run.own["x"][-1]).abs().flatten(2).amax(2)
        assert apart.amin(1).max() < CLOSE["atol"]  # resampled: every one is one of the code's
    for found, expected in zip(log_weights, run.own.get("log_weights", ()), strict=False):
        close(found - found.mean(), expected - expected.mean())


@pytest.mark.parametrize(("name", "case"), STEPS)
def test_pnpdms_likelihood_step_is_the_official_one(name, case):
    run = given(name, case)
    z = _towards_y(run.own["x"], run.chosen["rho"], run.like, run.own["noise"])
    close(z, run.own["z"])

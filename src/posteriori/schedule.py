"""Noise levels, x_t = alpha x_0 + sigma eps, and paths through them from noisy to clean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from posteriori.errors import PosterioriError

Spacing = Literal["linspace", "leading", "quadratic", "edm"]


class Level(NamedTuple):
    """One noise level, as plain floats: x_t = alpha x_0 + sigma eps with eps ~ N(0, I).

    ``t`` is the schedule's time, 0 at the clean end. ``sigma`` is on the image's [-1, 1] scale. At a noisy end without
    signal, alpha is 0.
    """

    t: float
    alpha: float
    sigma: float

    @property
    def sigma_bar(self) -> float:
        """sigma / alpha; infinite if alpha is 0."""
        return self.sigma / self.alpha if self.alpha else math.inf

    @property
    def log_snr(self) -> float:
        """lambda = log(alpha / sigma); infinite at both ends."""
        return math.log(self.alpha / self.sigma) if self.alpha and self.sigma else math.inf if self.alpha else -math.inf

    def with_signal(self) -> Level:
        """This level, or, if alpha is 0, the one with a thousandth of signal: for code that divides by alpha."""
        return self if self.alpha else self._replace(alpha=1e-3 * self.sigma)


CLEAN = Level(0.0, 1.0, 0.0)


class Schedule(ABC):
    """The noise levels that a prior was trained on: a path in t from 0 (clean) to ``end`` (the noisiest)."""

    #: the time at the noisy end, and the least time above 0 that a network was trained at
    end: float
    first: float
    #: how many times a network was trained at, or tells apart
    levels: int

    @property
    @abstractmethod
    def sigma_bars(self) -> tuple[float, float]:
        """The largest and the smallest sigma / alpha between which levels are spread, both finite and above 0."""

    @abstractmethod
    def level(self, t: float) -> Level:
        """The level at any time ``t`` in 0..end; PosterioriError outside."""

    @abstractmethod
    def time(self, sigma_bar: float) -> float:
        """The time whose sigma / alpha is ``sigma_bar`` > 0, for a network trained on this schedule."""

    @abstractmethod
    def index(self, t: float) -> float:
        """The network's input for the time ``t``."""

    @abstractmethod
    def scale(self, t: Level) -> float:
        """The factor by which x_t of any level is divided to match this schedule's level of the same sigma / alpha."""

    def at_noise(self, sigma: float) -> Level:
        """The level of x_0 + sigma n, with alpha = 1. Raises as ``time``."""
        return Level(self.time(sigma), 1.0, sigma)

    def path(self, steps: int | Sequence[float], spacing: Spacing = "linspace") -> list[Level]:
        """Levels from noisy to clean, ending at ``CLEAN``: ``len(path) - 1`` reverse steps.

        ``steps`` is a number of steps, spread over first..end, or the times themselves, largest first.

        ``"linspace"`` includes both ends (network times 999, 888 ... 0: the DPS code's DDPM). ``"leading"`` has equal
        distances from the clean end (network times 900, 800 ... 0: its DDIM). ``"quadratic"`` includes both ends and is
        denser at the clean one: end - t grows as the root of the step (DiffPIR's, whose code rounds to whole times).
        ``"edm"`` spans ``sigma_bars`` with evenly spaced (sigma / alpha)^(1/7) (Karras et al. 2022, eq. 5). The reverse
        kernel needs nothing but the levels of the path.
        """
        times = self._spaced(steps, spacing) if isinstance(steps, int) else [float(t) for t in steps]
        if any(a <= b for a, b in pairwise(times)) or not times or times[-1] <= 0:
            raise PosterioriError(
                f"times must fall strictly and stay above 0, got {times[:5]}...: give the noisiest first"
            )
        return [*(self.level(t) for t in times), CLEAN]

    def falling(self, first: float, last: float, steps: int) -> list[Level]:
        """``steps`` variance-exploding levels from ``first`` towards ``last``, evenly spaced in sigma^(1/7); then 0."""
        roots = (first ** (1 / 7) + k / steps * (last ** (1 / 7) - first ** (1 / 7)) for k in range(steps))
        return [*(self.at_noise(root**7) for root in roots), CLEAN]

    def geometric(self, first: float, last: float, levels: int) -> list[Level]:
        """``levels`` variance-exploding levels from ``first`` to ``last``, in geometric progression; then 0."""
        ratio = (last / first) ** (1 / max(levels - 1, 1))
        return [*(self.at_noise(first * ratio**k) for k in range(levels)), CLEAN]

    def _spaced(self, steps: int, spacing: Spacing) -> list[float]:
        if steps < 1:
            raise PosterioriError(f"steps is {steps}: give at least 1")
        share, whole = [i / max(steps - 1, 1) for i in range(steps)], self.end - self.first
        if spacing == "linspace":
            return [self.end - whole * u for u in share]
        if spacing == "leading":
            return [self.first + whole * i / steps for i in reversed(range(steps))]
        if spacing == "quadratic":
            return [self.end - whole * math.sqrt(u) for u in share]
        if spacing == "edm":
            most, least = (bar ** (1 / 7) for bar in self.sigma_bars)
            return [self.time((most + u * (least - most)) ** 7) for u in share]
        raise PosterioriError(f"spacing is {spacing!r}; give 'linspace', 'leading', 'quadratic' or 'edm'")


class VPSchedule(Schedule):
    """A variance-preserving schedule, alpha^2 + sigma^2 = 1, from the betas of its T forward steps.

    Ho et al. 2020, "Denoising diffusion probabilistic models", eq. 4: alpha_bar_t = prod (1 - beta_s). As there, times
    go from 1 to T; a network's go from 0. Between two times, log(sigma / alpha) is interpolated.
    """

    first = 1

    def __init__(self, betas: Sequence[float] | np.ndarray):
        self.betas = np.asarray(betas, dtype=np.float64)
        if self.betas.ndim != 1 or not ((self.betas > 0) & (self.betas < 1)).all():
            raise PosterioriError(f"betas must be a list of numbers in (0, 1), got shape {self.betas.shape}")
        self.T = self.end = self.levels = len(self.betas)

    @cached_property
    def alpha_bar(self) -> np.ndarray:
        """(T + 1,) signal power at t = 0..T; alpha_bar[0] = 1."""
        return np.concatenate([[1.0], np.cumprod(1 - self.betas)])

    @cached_property
    def log_sigma_bar(self) -> np.ndarray:
        """(T,) log(sigma / alpha) at t = 1..T, rising: the axis along which times are interpolated."""
        alpha_bar = self.alpha_bar[1:]
        return 0.5 * (np.log1p(-alpha_bar) - np.log(alpha_bar))

    @property
    def sigma_bars(self) -> tuple[float, float]:
        return self.level(self.T).sigma_bar, self.level(1).sigma_bar

    def level(self, t: float) -> Level:
        if not 0 <= t <= self.T:
            raise PosterioriError(f"t is {t}; this schedule has times 0 to {self.T}")
        if t == int(t):
            alpha_bar = float(self.alpha_bar[int(t)])
            return Level(float(t), math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar))
        if t < 1:  # between clean and the first level log(sigma) is infinite: interpolate sigma / alpha
            bar = t * math.exp(self.log_sigma_bar[0])
        else:
            bar = math.exp(np.interp(t, np.arange(1, self.T + 1), self.log_sigma_bar))
        alpha = 1 / math.sqrt(1 + bar**2)
        return Level(float(t), alpha, alpha * bar)

    def time(self, sigma_bar: float) -> float:
        """An exact integer at trained levels, and 1 below the first level. Above the last, raises PosterioriError."""
        if sigma_bar > self.sigma_bars[0] * (1 + 1e-9):
            raise PosterioriError(
                f"sigma / alpha is {sigma_bar:.4g}; the prior was trained up to {self.sigma_bars[0]:.4g}: start lower"
            )
        t = float(np.interp(math.log(sigma_bar), self.log_sigma_bar, np.arange(1, self.T + 1)))
        return float(round(t)) if abs(t - round(t)) < 1e-6 else t

    def index(self, t: float) -> float:
        return t - 1

    def scale(self, t: Level) -> float:
        return math.hypot(t.alpha, t.sigma)

    def _spaced(self, steps: int, spacing: Spacing) -> list[float]:
        """As for any schedule, but with whole times if they are evenly spaced."""
        if not 1 <= steps <= self.T:
            raise PosterioriError(f"steps is {steps}; this schedule has {self.T} levels: give 1 to {self.T}")
        if spacing == "leading":
            stride = self.T // steps
            return [1.0 + stride * i for i in reversed(range(steps))]
        if spacing == "linspace" and steps > 1:
            # round half to even in float64, as guided-diffusion's space_timesteps does
            stride = (self.T - 1) / (steps - 1)
            return [1.0 + round(stride * i) for i in reversed(range(steps))]
        return super()._spaced(steps, spacing)


class RectifiedFlow(Schedule):
    """A straight path from x_0 to noise: alpha = 1 - t, sigma = t, without signal at the end, t = 1.

    Liu et al. 2023, "Flow straight and fast: learning to generate and transfer data with rectified flow", eq. 1, with t
    from the data to the noise. A network's input is ``levels`` t. Paths and sigma / alpha stay 1 / ``levels`` away from
    infinite values.
    """

    end = 1.0

    def __init__(self, levels: int = 1000):
        if levels < 2:
            raise PosterioriError(f"levels is {levels}: give at least 2")
        self.levels, self.first = levels, 1 / levels

    @property
    def sigma_bars(self) -> tuple[float, float]:
        return self.level(1 - self.first).sigma_bar, self.level(self.first).sigma_bar

    def level(self, t: float) -> Level:
        if not 0 <= t <= 1:
            raise PosterioriError(f"t is {t}; this schedule has times 0 to 1")
        return Level(float(t), 1 - t, float(t))

    def time(self, sigma_bar: float) -> float:
        return 1 / (1 + 1 / sigma_bar)

    def index(self, t: float) -> float:
        return self.levels * t

    def scale(self, t: Level) -> float:
        return t.alpha + t.sigma


def linear_betas(T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> VPSchedule:
    """Linear betas: Ho et al. 2020, section 4, and the report's section 3.1."""
    return VPSchedule(np.linspace(beta_1, beta_T, T))


def cosine_betas(T: int = 1000, s: float = 0.008, max_beta: float = 0.999) -> VPSchedule:
    """Cosine alpha_bar: Nichol and Dhariwal 2021, "Improved denoising diffusion probabilistic models", eq. 17."""

    def alpha_bar(u: np.ndarray) -> np.ndarray:
        return np.cos((u + s) / (1 + s) * math.pi / 2) ** 2

    u = np.arange(T + 1) / T
    return VPSchedule(np.minimum(1 - alpha_bar(u[1:]) / alpha_bar(u[:-1]), max_beta))

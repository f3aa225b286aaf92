"""The training loop, in one process or several. A step depends on (config, data, step) only, and resume is exact."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from posteriori.errors import PosterioriError
from posteriori.hub.load import load_prior, read_dtype
from posteriori.hub.stored import unpickled
from posteriori.jobs.faults import out_of_memory
from posteriori.jobs.store import Files
from posteriori.priors.unet import PixelUNet, UNetPrior
from posteriori.priors.unet2d import UNet2D
from posteriori.rng import generator
from posteriori.schedule import VPSchedule, cosine_betas, linear_betas
from posteriori.training.config import TrainConfig
from posteriori.training.data import Dataset, batch
from posteriori.training.distributed import ALONE, Ranks
from posteriori.training.optimiser import build_optimiser


def build_network(config: TrainConfig) -> PixelUNet:
    net = PixelUNet(UNet2D(config.unet_config()), config.patch)
    return net.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]


def build_schedule(config: TrainConfig) -> VPSchedule:
    return {"linear": linear_betas, "cosine": cosine_betas}[config.schedule]()


def loss_weight(snr: Tensor, weighting: str, prediction: str) -> Tensor:
    """Weight of the squared error of the predicted quantity, from snr = alpha^2 / sigma^2.

    With w the weight on |x_0 - x0hat|^2: "constant" leaves the prediction's own loss alone
    (w = snr for epsilon, snr + 1 for v, 1 for x_0); "min-snr" is w = min(snr, 5) (Hang et al. 2023,
    eq. 8); "p2" is w = snr / (1 + snr) (Choi et al. 2022, eq. 8 with k = gamma = 1).
    """
    own = {"epsilon": snr, "v_prediction": snr + 1, "sample": torch.ones_like(snr)}[prediction]
    if weighting == "constant":
        return torch.ones_like(snr)
    return (snr.clamp(max=5.0) if weighting == "min-snr" else snr / (1 + snr)) / own


def draw_times(
    schedule: VPSchedule,
    n: int,
    times: str,
    rng: torch.Generator,
    min_sigma: float = 0.0,
    max_sigma: float | None = None,
) -> Tensor:
    """(n,) training times in 1..T: "uniform", "log-normal" for a network that is to denoise well, or "mixed".

    "log-normal" draws log(sigma / alpha) ~ N(-1.2, 1.2^2) (Karras et al. 2022, table 1), but one time in eight
    uniformly, so that the noisiest levels are trained as well. Drawn uniformly, three quarters of the times
    of linear betas have sigma > alpha, where little of a picture is left to see. "mixed" draws half of the times
    uniformly: colours of samples are decided at the noisiest levels, and drift where those are rarely trained.
    Times with sigma / alpha outside ``min_sigma`` to ``max_sigma`` are drawn again, uniformly from those within, for a
    network that has only these levels. At least one level is always within.
    """
    first = 1 + int(np.searchsorted(schedule.log_sigma_bar, math.log(min_sigma))) if min_sigma else 1
    below = schedule.T if max_sigma is None else int(np.searchsorted(schedule.log_sigma_bar, math.log(max_sigma)))
    last = max(first, below)
    uniform = torch.randint(first, last + 1, (n,), generator=rng)
    if times == "uniform":
        return uniform
    log_sigma_bar = 1.2 * torch.randn(n, generator=rng) - 1.2
    t = 1 + torch.searchsorted(torch.from_numpy(schedule.log_sigma_bar[:-1]).float(), log_sigma_bar)
    share = 1 / 2 if times == "mixed" else 1 / 8
    return torch.where((torch.rand(n, generator=rng) < share) | (t < first) | (t > last), uniform, t)


def learning_rate(config: TrainConfig, step: int) -> float:
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    left = (config.steps - step) / max(config.cooldown * config.steps, 1)
    return config.learning_rate * warm * min(1.0, left)


def _save(state: dict[str, Any], file: BinaryIO) -> None:
    """Raises OSError if the disk is full."""
    try:
        torch.save(state, file)
    except RuntimeError as error:  # closing the archive then fails as well, and would hide why
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


#: the least that a checkpoint has
_KEPT = {"config", "names", "step", "net", "ema", "optimiser"}


class DamagedCheckpoint(PosterioriError):
    """A checkpoint file that cannot be read."""


def previous(checkpoint: Path) -> Path:
    """Where the checkpoint before ``checkpoint`` is kept."""
    return checkpoint.with_suffix(f".previous{checkpoint.suffix}")


@dataclass(frozen=True)
class TrainStep:
    """What one optimiser step did; ``step`` counts from 1."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float


class Trainer:
    """The state of a run: network, its moving average, optimiser, step, and ``recent``: the steps not yet logged.

    ``dtype`` is the arithmetic of the convolutions; weights and their averages are float32. Each of several ``ranks``
    computes its rows of the batch that one process would take, and all have the same state after every step. Raises
    PosterioriError if they cannot share a batch equally.
    """

    def __init__(
        self,
        config: TrainConfig,
        images: Dataset,
        device: str = "cpu",
        *,
        dtype: str = "auto",
        compile: bool = False,
        ranks: Ranks = ALONE,
    ):
        self.config = config
        self.ranks = ranks
        self.rows = ranks.rows(config.batch_size)
        self.images = images
        self.device = torch.device(device)
        self.schedule = build_schedule(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.net = build_network(config).to(self.device)
        if config.start:
            self._start_from(config.start)
        self.ema = build_network(config).to(self.device).requires_grad_(False)
        self.ema.load_state_dict(self.net.state_dict())
        self.optimiser = build_optimiser(self.net, config)
        self.forward = torch.compile(self.net) if compile else self.net
        self.step = 0
        self.recent: list[TrainStep] = []
        self.dtype = read_dtype(dtype, self.device)
        if self.dtype == torch.float16:
            raise PosterioriError("dtype is 'float16', in which gradients underflow: give auto, bfloat16 or float32")
        lowered = self.dtype != torch.float32
        self.autocast = torch.autocast(self.device.type, self.dtype) if lowered else nullcontext()

    def _start_from(self, name: str) -> None:
        try:
            prior = load_prior(name, dtype="float32")
            if not isinstance(prior, UNetPrior):
                raise PosterioriError(
                    f"start is {name!r}, which is grey or has two networks: give one in colour with one"
                )
            self.net.load_state_dict(prior.net.state_dict())
        except RuntimeError:
            raise PosterioriError(
                f"start is {name!r}, whose network differs from these settings: give its settings"
            ) from None

    def loss(self, x_0: Tensor, rng: torch.Generator) -> Tensor:
        """The weighted denoising loss (Ho et al. 2020, eq. 14, for the chosen prediction).

        ``x_0`` is this process's rows of the batch; times and noise are drawn for all rows.
        """
        config = self.config
        levels = config.min_sigma, config.max_sigma
        t = draw_times(self.schedule, config.batch_size, config.times, rng, *levels)[self.rows]
        eps = torch.randn((config.batch_size, *x_0.shape[1:]), generator=rng)[self.rows]
        alpha_bar = torch.from_numpy(self.schedule.alpha_bar)[t].float().view(-1, 1, 1, 1)
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        x_t = alpha * x_0 + sigma * eps
        target = {"epsilon": eps, "v_prediction": alpha * eps - sigma * x_0, "sample": x_0}[config.prediction]
        weight = loss_weight(alpha_bar / (1 - alpha_bar), config.weighting, config.prediction)
        with self.autocast:
            out = self.forward(x_t.to(self.device), (t - 1).to(self.device))
        error = (out.float() - target.to(self.device)).square()
        return (weight.to(self.device) * error).mean()

    def advance(self) -> TrainStep:
        """One optimiser step. Raises FloatingPointError or MemoryError with the setting to lower."""
        started = time.perf_counter()
        try:
            loss, norm = self._update()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise MemoryError(
                f"out of memory at step {self.step}: lower batch_size (now {self.config.batch_size}), size or channels"
            ) from None
        self.step += 1
        seconds = time.perf_counter() - started
        self.recent.append(TrainStep(self.step, loss, norm, self.optimiser.param_groups[0]["lr"], seconds))
        return self.recent[-1]

    def _update(self) -> tuple[float, float]:
        """Updates the network and its average. Returns the loss and the norm of its gradient."""
        config = self.config
        x_0 = batch(
            self.images,
            self.step,
            size=config.size,
            batch_size=config.batch_size,
            crop=config.crop,
            min_crop=config.min_crop,
            colour=config.colour,
            seed=config.seed,
            rows=self.rows,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, self.step)
        loss = self.loss(x_0, generator(config.seed, 2, self.step))
        mean = self.ranks.mean(loss.item())
        if not math.isfinite(mean):
            raise FloatingPointError(
                f"the loss is {mean} at step {self.step}: lower learning_rate (now {config.learning_rate})"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.mean_(p.grad for p in self.net.parameters() if p.grad is not None)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), config.clip_norm)
        self.optimiser.step()
        # ramped up, so that early averages forget the random start
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, parameter in zip(self.ema.parameters(), self.net.parameters(), strict=True):
                average.lerp_(parameter, 1 - decay)
        return mean, float(norm)

    def save(self, path: Path) -> None:
        """Writes the whole state, and keeps the state before it as ``previous(path)``.

        A kill at any moment leaves one of them intact.
        """
        state = {
            "config": self.config.to_json(),
            "names": self.images.names,
            "step": self.step,
            "recent": [asdict(step) for step in self.recent],
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        files, newest = Files(path.parent), path.with_suffix(f".newest{path.suffix}").name
        files.put(newest, partial(_save, state))
        if files.has(path.name):
            files.rename(path.name, previous(path).name)
        files.rename(newest, path.name)

    def load(self, path: Path) -> None:
        """Resumes from ``path``: what follows is bit for bit what an uninterrupted run would have done.

        Only ``images`` may differ from the checkpoint's, so that a run can be made longer or shorter. Raises
        DamagedCheckpoint if ``path`` cannot be read, PosterioriError if it is another run's.
        """
        try:
            state = unpickled(path, self.device)
        except PosterioriError:
            state = None
        if not isinstance(state, dict) or not state.keys() >= _KEPT:
            raise DamagedCheckpoint(f"{path} is damaged: remove it, and the run starts from the one before or anew")
        before = TrainConfig.from_json(state["config"])  # newer settings have their defaults
        changed = [f.name for f in fields(before) if getattr(before, f.name) != getattr(self.config, f.name)]
        changed = [name for name in changed if name != "images"]
        if changed:
            raise PosterioriError(
                f"{path} was trained with other settings ({', '.join(changed)}): resume with the same or start anew"
            )
        if state["names"] != self.images.names:
            raise PosterioriError(f"{path} was trained on other images: resume with the same data or start anew")
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]
        self.recent = [TrainStep(**step) for step in state.get("recent", [])]  # older checkpoints have none

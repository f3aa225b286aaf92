"""The training loop: one process, exact resume, everything a function of (config, data, step)."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from posteriori.priors.unet import PixelUNet, auto_dtype
from posteriori.rng import generator
from posteriori.schedule import VPSchedule, cosine_betas, linear_betas
from posteriori.training.config import TrainConfig
from posteriori.training.data import Images, batch


def build_network(config: TrainConfig) -> PixelUNet:
    from diffusers.models.unets.unet_2d import UNet2DModel

    net = PixelUNet(UNet2DModel(**config.unet_config()), config.patch)
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


def learning_rate(config: TrainConfig, step: int) -> float:
    warm = min(1.0, (step + 1) / max(config.warmup, 1))
    left = (config.steps - step) / max(config.cooldown * config.steps, 1)
    return config.learning_rate * warm * min(1.0, left)


@dataclass(frozen=True)
class TrainStep:
    """What one optimiser step did; ``step`` counts from 1."""

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    seconds: float


class Trainer:
    """The state of a run: network, its moving average, optimiser and step."""

    def __init__(self, config: TrainConfig, images: Images, device: str = "cpu"):
        self.config = config
        self.images = images
        self.device = torch.device(device)
        self.schedule = build_schedule(config)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.net = build_network(config).to(self.device)
        self.ema = build_network(config).to(self.device).requires_grad_(False)
        self.ema.load_state_dict(self.net.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.step = 0
        self.last = TrainStep(0, math.nan, math.nan, 0.0, 0.0)
        lower = auto_dtype(self.device)
        self.autocast = torch.autocast(self.device.type, lower) if lower != torch.float32 else nullcontext()

    def loss(self, x_0: Tensor, rng: torch.Generator) -> Tensor:
        """The weighted denoising loss of a batch (Ho et al. 2020, eq. 14, for the chosen prediction)."""
        config = self.config
        t = torch.randint(1, self.schedule.T + 1, (len(x_0),), generator=rng)
        eps = torch.randn(x_0.shape, generator=rng)
        alpha_bar = torch.from_numpy(self.schedule.alpha_bar)[t].float().view(-1, 1, 1, 1)
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        x_t = alpha * x_0 + sigma * eps
        target = {"epsilon": eps, "v_prediction": alpha * eps - sigma * x_0, "sample": x_0}[config.prediction]
        weight = loss_weight(alpha_bar / (1 - alpha_bar), config.weighting, config.prediction)
        with self.autocast:
            out = self.net(x_t.to(self.device), (t - 1).to(self.device))
        error = (out.float() - target.to(self.device)).square()
        return (weight.to(self.device) * error).mean()

    def advance(self) -> TrainStep:
        """One optimiser step."""
        config, started = self.config, time.perf_counter()
        x_0 = batch(
            self.images,
            self.step,
            size=config.size,
            batch_size=config.batch_size,
            min_crop=config.min_crop,
            colour=config.colour,
            seed=config.seed,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, self.step)
        loss = self.loss(x_0, generator(config.seed, 2, self.step))
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {self.step}: lower learning_rate (now {config.learning_rate})"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), config.clip_norm)
        self.optimiser.step()
        # ramped up, so that early averages forget the random start
        decay = min(config.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for average, parameter in zip(self.ema.parameters(), self.net.parameters(), strict=True):
                average.lerp_(parameter, 1 - decay)
        self.step += 1
        seconds = time.perf_counter() - started
        self.last = TrainStep(self.step, loss.item(), float(norm), self.optimiser.param_groups[0]["lr"], seconds)
        return self.last

    def save(self, path: Path) -> None:
        """Writes the whole state atomically: a kill at any moment leaves the last checkpoint whole."""
        partial = path.with_suffix(".partial")  # one name: the next save overwrites what a kill leaves
        torch.save(
            {
                "config": self.config.to_json(),
                "names": self.images.names,
                "step": self.step,
                "net": self.net.state_dict(),
                "ema": self.ema.state_dict(),
                "optimiser": self.optimiser.state_dict(),
            },
            partial,
        )
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Resumes from ``path``: what follows is bit for bit what an uninterrupted run would have done.

        ``images`` alone may differ from the checkpoint's: a run can be made longer or shorter.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        settings = self.config.to_json().items()
        changed = [k for k, v in settings if k != "images" and state["config"].get(k) != v]
        if changed:
            raise ValueError(
                f"{path} was trained with another {', '.join(changed)}: resume with the same or start anew"
            )
        if state["names"] != self.images.names:
            raise ValueError(f"{path} was trained on other images: resume with the same data or start anew")
        self.net.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = state["step"]

"""The report's figures that are pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from posteriori.images.files import to_tensor
from posteriori.images.sheets import comparison, sheet
from posteriori.kernels import forward
from posteriori.rng import Rng, image_key
from posteriori.studies.engine.store import Result
from posteriori.studies.report.experiment import OnTask, Reproduction
from posteriori.studies.report.plan import LABELS
from posteriori.studies.report.tables import DIGITS
from posteriori.studies.tasks import SIGMA_Y, T_DENOISE

#: times of the forward process's figure
_TIMES = (0, 50, 100, 250, 500, 750, 1000)


def forward_process(done: Reproduction, path: Path) -> None:
    schedule, x_0 = done.campaign.prior.schedule, done.split.reported.x[:1]
    noise = Rng(done.seeds[0], [image_key(x_0)]).normal(x_0.shape[1:])
    times = [t for t in _TIMES if t <= schedule.end]
    shown = [forward(x_0, schedule.level(t), noise) for t in times]
    sheet(torch.cat(shown), path, columns=len(shown), labels=[f"t = {t}" for t in times])


def denoising(done: Reproduction, path: Path) -> None:
    x_t, x0 = (to_tensor(pixels[0]) for pixels in done.single_pass.pictures["path"][-1])
    score = f"{done.single_pass.metrics['psnr'][0]:.2f} dB"
    panels = [("original", done.split.reported.x[:1]), (f"noised, t = {T_DENOISE}", x_t), (f"denoised\n{score}", x0)]
    comparison(panels, path, title=f"single-pass denoising, t = {T_DENOISE}", zoom=None)


def unconditional(done: Reproduction, path: Path) -> None:
    frames = done.unconditional.pictures["path"][:, :, 0]
    sheet(torch.cat([to_tensor(frames[:, 0]), to_tensor(frames[:, 1])]), path, columns=len(frames))


def _restored(result: Result, name: str = "x") -> Tensor:
    return to_tensor(result.pictures[name][0])


def _scored(result: Result, label: str) -> str:
    metrics = (f"{result.metrics[name][0]:.{DIGITS[name]}f}" for name in ("psnr", "lpips"))
    return f"{label}\n{' dB / '.join(metrics)}"


def compare(done: Reproduction, on: OnTask, methods: list[str], path: Path) -> None:
    measurement = on.methods["measurement"]
    panels = [
        (_scored(measurement, "measurement"), _restored(measurement, "y")),
        ("original\n(PSNR / LPIPS to it)", done.split.reported.x[0]),
        *((_scored(on.methods[name], LABELS[name]), _restored(on.methods[name])) for name in methods),
    ]
    title = f"{on.task.label}, noise sigma {SIGMA_Y}, {done.scope.steps} steps"
    comparison(panels, path, title=title, zoom=None)


def eyes(done: Reproduction, path: Path) -> None:
    on, side = done.tasks[1], done.campaign.prior.shape[-1]
    zoom = (round(0.3 * side), round(0.2 * side), round(0.2 * side), round(0.6 * side))
    panels = [("original", done.split.reported.x[0])]
    panels += [(_scored(on.methods[name], LABELS[name]), _restored(on.methods[name])) for name in ("scoreald", "dps")]
    comparison(panels, path, title=f"eye region, {on.task.label}", zoom=zoom)

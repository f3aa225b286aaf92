"""Writes how sure the samples of one input are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.images.files import save_image
from posteriori.images.sheets import heat_map
from posteriori.metrics import credible_interval, t_quantile
from posteriori.restore.entry import Case


@dataclass(frozen=True)
class IntervalRequest:
    """Intervals that hold a pixel's true value with probability ``level``, multiplied by ``widen``."""

    level: float
    widen: float = 1.0

    def __post_init__(self) -> None:
        t_quantile(self.level, 2)  # which says so where the level is none
        if not 0 < self.widen < float("inf"):
            raise PosterioriError(f"widen is {self.widen}: give a factor above 0, like 1.5")

    @property
    def title(self) -> str:
        return f"{100 * self.level:g}% intervals"


def write_intervals(folder: Path, case: Case, x: Tensor, request: IntervalRequest) -> dict[str, Any]:
    """Writes the intervals of samples ``x`` (n, 3, H, W), of the window, to ``folder``; the manifest's part.

    interval.npy is (2, 3, H, W), low and high; interval-low.png and interval-high.png are these as pictures;
    interval.png shows the width in colours. If the truth is known, outside.png shows where it is not inside.
    """
    interval = credible_interval(x, request.level, widen=request.widen, bounds=case.prior.bounds)
    np.save(folder / "interval.npy", torch.stack(interval).numpy())
    save_image(interval.low[None], folder / "interval-low.png")
    save_image(interval.high[None], folder / "interval-high.png")
    title = f"width of {request.title} from {len(x)} samples"
    heat_map(interval.width.mean(0), folder / "interval.png", title=title, label="on the [-1, 1] scale")
    found = {**asdict(request), "width": interval.width.mean().item()}
    if case.truth is not None:
        covered = interval.covers(case.window(case.truth)[0])
        title = f"truth outside {request.title}"
        heat_map(1 - covered.float().mean(0), folder / "outside.png", title=title, label="share of the channels")
        found["coverage"] = _coverage(covered, case.truth, case)
    return {"interval": found}


def _coverage(covered: Tensor, truth: Tensor, case: Case) -> dict[str, float | None]:
    """The share of pixels whose truth is inside: of all, and of those that a mask hides, if any."""
    hidden = case.window(case.operator.zero_filled(torch.ones_like(truth)))[0] == 0
    return {
        "all": covered.float().mean().item(),
        "hidden": covered[hidden].float().mean().item() if hidden.any() else None,
    }

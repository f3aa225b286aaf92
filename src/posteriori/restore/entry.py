"""The files of one restored input: pictures, arrays and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from posteriori.images.files import save_image
from posteriori.images.sheets import comparison, heat_map
from posteriori.images.written import Format, write_like
from posteriori.likelihoods import Measured, Noise
from posteriori.operators.base import Operator
from posteriori.operators.svd import SVDOperator
from posteriori.priors.base import Prior
from posteriori.restore.checks import best_of, check_prior, check_residual, of_rows, warnings
from posteriori.restore.inputs import Loaded, Source, stem_of
from posteriori.restore.manifest import protocol, score
from posteriori.restore.methods import Settled


@dataclass(frozen=True)
class Case:
    """An input ready for ``method``: its measurement y (1, ...), and the truth (1, C, H, W) where it is known.

    ``noise`` is its own.
    """

    source: Source
    loaded: Loaded
    prior: Prior
    operator: Operator
    method: Settled
    noise: Noise
    y: Tensor
    truth: Tensor | None

    @property
    def like(self) -> Measured:
        """The likelihood of its measurement."""
        return self.noise.likelihood(self.y, self.operator)

    def projected(self, x: Tensor) -> Tensor:
        """The images nearest to ``x`` (n, *shape) that give what y says without noise.

        Where that amplifies no rounding, A A^T = s^2 I; ``x`` where y has noise.
        """
        operator = self.operator
        if self.noise.level or not isinstance(operator, SVDOperator) or operator.s.ndim:
            return x
        return operator.prox(x, self.y.to(x).expand(len(x), *self.y.shape[1:]), 0.0)

    def shade(self, x: Tensor) -> Tensor:
        """The images ``x`` (..., 3, H, W) of a grey input in grey: the nearest that are, and nearer to a grey truth."""
        return (
            x.mean(-3, keepdim=True).expand_as(x).contiguous()
            if self.loaded.grey and self.operator.measured_shape[0] == 3
            else x
        )

    def window(self, x: Tensor) -> Tensor:
        """The part of the images ``x`` (..., H, W) that was in the file: not what padding added, or lies beyond it."""
        if self.truth is None and self.operator.drawing(self.y):
            return x
        if self.truth is None and x.shape[-2:] == self.operator.shape[-2:]:
            top, left, height, width = self.operator.frame
            x = x[..., top : top + height, left : left + width]
        scale = x.shape[-1] // self.loaded.x.shape[-1]  # of an image to its measurement
        top, left, height, width = (scale * side for side in self.loaded.window)
        return x[..., top : top + height, left : left + width]


def write_entry(folder: Path, case: Case, x: Tensor, kind: Format | None = None) -> dict[str, Any]:
    """Writes the images ``x`` (n, 3, H, W) of a case and its measurement into ``folder``; returns the manifest's part.

    A single image is restored.png. Several are sample-01.png ..., mean.png, and their standard deviation as std.png
    (with its scale) and std.npy. For ambiguous operators, restored.png is the sample with the smallest residual. A
    measurement with fewer pixels is compared as its bicubic enlargement. One that is not a picture is drawn as its
    operator says, with the initial estimate beside it. Besides metrics there are the two checks, of the residual and of
    the shift, and their warnings. If the input was not simulated, the result is also written under the input's name
    ("file" in the manifest), in its format or as ``kind``.
    """
    y, n = case.y, len(x)
    operator, noise = case.operator, case.noise
    residual, shift = check_residual(operator, y, x, noise), check_prior(case.prior, x)
    best = best_of(residual, noise.level) if n > 1 and case.operator.ambiguous else None
    found: dict[str, Any] = {"residual": residual, "shift": shift} | ({"best": best} if best else {})
    chosen = slice(best["sample"] - 1, best["sample"]) if best else slice(n)
    of = [of_rows(check, chosen) for check in (residual, shift)]
    found["warnings"] = warnings(*of, noise.level, simulated=case.truth is not None)
    if best and not best["share that explains y"]:
        found["warnings"].append(
            f"none of {n} samples explains the measurement as well as true images do: look at them, or take more"
        )
    np.save(folder / "measurement.npy", y[0].numpy())
    drawn = case.operator.drawing(y)
    shown = drawn[1] if drawn else case.window(y) if y.shape[1:] == x.shape[1:] else y
    x = case.window(x)
    result = x[chosen].mean(0, keepdim=True)
    save_image(shown, folder / "measurement.png")
    if n > 1:
        for i, image in enumerate(x, 1):
            save_image(image, folder / f"sample-{i:0{max(2, len(str(n)))}d}.png")
    if n == 1 or best:
        save_image(result, folder / "restored.png")
    else:
        save_image(result, folder / "mean.png")
        std = x.std(0)
        np.save(folder / "std.npy", std.numpy())
        title = f"standard deviation of {n} samples"
        heat_map(std.square().mean(0).sqrt(), folder / "std.png", title=title, label="on the [-1, 1] scale")
    if drawn:
        # at their size, or the pictures would take its shape
        label, shown = drawn[0], F.interpolate(shown, result.shape[-2:], mode="area")
    elif shown.shape[-2:] != result.shape[-2:] and shown.shape[-2:] == case.operator.frame[2:]:
        label, shown = "measurement, its edge repeated", case.operator.initial_estimate(y)
    elif shown.shape[-2:] != result.shape[-2:] and shown.ndim == 4:
        label, shown = "measurement, bicubic", F.interpolate(shown, result.shape[-2:], mode="bicubic")
    else:
        label = "measurement"
    name = f"best of {n} samples" if best else "restored" if n == 1 else f"mean of {n} samples"
    first = [("initial estimate", case.window(case.operator.initial_estimate(y)))] if drawn else []
    panels = [(label, shown), *first, (name, result)]
    if n > 1:
        panels += [(f"sample {i}", image[None]) for i, image in enumerate(x[:2], 1)]
    if case.truth is not None:
        truth = case.window(case.truth)
        save_image(truth, folder / "truth.png")
        pictures = panels[1:] if drawn else panels
        comparable = [(label, image) for label, image in pictures if image.shape == truth.shape]
        scores = {label: score(image, truth) for label, image in comparable}
        found["metrics"] = {
            "measurement": scores.get(label),
            "samples": [score(image[None], truth) for image in x],
            "best" if best else "mean": score(result, truth),
        }
        found["protocol"] = protocol(*truth.shape[-2:])
        panels = [("truth", truth), *((_noted(label, scores.get(label)), image) for label, image in panels)]
    comparison(panels, folder / "comparison.png", title=case.source.name, zoom=None)
    if case.truth is None:
        path, origin = case.source.path, case.loaded.origin
        stem, suffix = Path(case.source.name).name, path.removeprefix(str(Path(path).with_name(stem_of(path))))
        found["file"] = write_like(result[0], folder, stem, suffix, origin, kind).name
    return found


def _noted(label: str, scores: dict[str, float | None] | None) -> str:
    """``label`` with a line of PSNR and LPIPS below."""
    forms = {"psnr": "{:.2f} dB", "lpips": "LPIPS {:.3f}"}
    known = {name: value for name, value in (scores or {}).items() if name in forms and value is not None}
    return f"{label}\n{' / '.join(forms[name].format(value) for name, value in known.items())}"

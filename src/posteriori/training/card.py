"""The model card of a trained prior: a README.md on its origin and its quality."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping

import torch

from posteriori import __version__
from posteriori.training.config import TrainConfig


def model_card(
    name: str,
    config: TrainConfig,
    *,
    data: str,
    licence: str,
    images: tuple[int, int],
    parameters: int,
    step: int,
    device: torch.device,
    processes: int,
    held_out: Mapping[str, object] | None,
) -> str:
    """The card, Markdown. ``images`` counts training and held-out ones, ``held_out`` is a row of heldout.csv."""
    training, kept = images
    hardware = _hardware(device, processes)
    return f"""# {name}

A diffusion prior, trained with posteriori {__version__} (`posteriori train`).

- **Training data**: {training:,} images of `{data}`; {kept:,} more, `{config.holdout}` of the sorted names, held out.
- **Licence**: {licence}.
- **Network**: diffusers' `UNet2DModel`, {parameters:,} parameters, stored in float16.
- **Training**: {step:,} of {config.steps:,} steps, {step * config.batch_size:,} images seen; {hardware}.
- **Held-out denoising**{_held_out(held_out)}
- **Limits**: it knows pictures like its training data, at the same scale; on others it is weaker. What it restores
  is a sample of what is plausible, not evidence of what was there.

## Settings

```json
{json.dumps(config.to_json(), indent=2)}
```
"""


def _held_out(row: Mapping[str, object] | None) -> str:
    if row is None:
        return ": not measured."
    psnr = {name.removeprefix("psnr_sigma_"): float(str(value)) for name, value in row.items() if name != "step"}
    return f""" (one network call, sigma on [-1, 1], step {row["step"]}):

  | sigma | {" | ".join(psnr)} |
  |---|{"---|" * len(psnr)}
  | PSNR (dB) | {" | ".join(f"{value:.2f}" for value in psnr.values())} |
"""


def _hardware(device: torch.device, processes: int) -> str:
    each = f"{processes} x " if processes > 1 else ""
    if device.type == "cuda":
        return each + torch.cuda.get_device_name(device)
    return f"{each}{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"

"""What a run's manifest says besides its settings: versions, memory, and how its metrics were computed."""

from __future__ import annotations

import platform
from importlib.metadata import version

from torch import Tensor

from posteriori import __version__
from posteriori.metrics import lpips, psnr, ssim
from posteriori.priors.base import Prior

#: the file that says how what lies beside it was made
MANIFEST = "manifest.json"
#: the file that has a line for every entry beside it
SUMMARY = "results.json"

#: sides from which the metrics are defined
_METRICS = {"psnr": (psnr, 1), "ssim": (ssim, 11), "lpips": (lpips, 31)}


def score(x: Tensor, truth: Tensor) -> dict[str, float | None]:
    """PSNR (dB), SSIM and LPIPS of one image (1, 3, H, W) on [-1, 1]; None where it is too small for them."""
    side = min(x.shape[-2:])
    return {name: float(metric(x, truth)) if side >= least else None for name, (metric, least) in _METRICS.items()}


def protocol(height: int, width: int) -> str:
    """How the metrics of ``score`` at this size are meant."""
    return (
        f"PSNR in dB, SSIM (Gaussian window of 11 pixels, sigma 1.5, mean over channels) and LPIPS v0.1 with AlexNet, "
        f"all at {width} x {height} pixels on images clamped to [-1, 1] before rounding; LPIPS depends on the size; "
        "a measurement of fewer pixels is enlarged by bicubic interpolation"
    )


def versions() -> dict[str, str]:
    """Of everything that decides what a run computes."""
    libraries = {name: version(name) for name in ("torch", "diffusers", "numpy", "pillow")}
    return {
        "posteriori": __version__,
        "python": platform.python_version(),
        **libraries,
        "platform": platform.platform(),
    }


def arithmetic(prior: Prior) -> dict[str, str]:
    """Where and in what the network computes: part of what decides a run's numbers."""
    return {"device": prior.device.type, "dtype": str(prior.dtype).removeprefix("torch.")}

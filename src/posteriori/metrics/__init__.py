"""How close a reconstruction is to the truth (PSNR, SSIM, LPIPS), how sure it is, and how alike sets are (KID)."""

from posteriori.metrics.calibration import Interval, credible_interval, standardized
from posteriori.metrics.fidelity import psnr, ssim
from posteriori.metrics.intervals import chi_square_range, t_quantile
from posteriori.metrics.kernel_distance import kernel_distance, kernel_distance_interval, pooled_features
from posteriori.metrics.lpips import lpips

__all__ = [
    "Interval",
    "chi_square_range",
    "credible_interval",
    "kernel_distance",
    "kernel_distance_interval",
    "lpips",
    "pooled_features",
    "psnr",
    "ssim",
    "standardized",
    "t_quantile",
]

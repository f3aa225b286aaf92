"""How close a reconstruction is to the truth (PSNR, SSIM, LPIPS), and one set of pictures to another (KID)."""

from posteriori.metrics.fidelity import psnr, ssim
from posteriori.metrics.kernel_distance import kernel_distance, kernel_distance_interval, pooled_features
from posteriori.metrics.lpips import lpips

__all__ = ["kernel_distance", "kernel_distance_interval", "lpips", "pooled_features", "psnr", "ssim"]

"""How close a reconstruction is to the truth: PSNR, SSIM and LPIPS of image pairs."""

from posteriori.metrics.fidelity import psnr, ssim
from posteriori.metrics.lpips import lpips

__all__ = ["lpips", "psnr", "ssim"]

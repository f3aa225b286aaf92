"""Colour profiles: from one to sRGB, and back."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

#: colours from all over the cube, (5, 25, 3) uint8
_CUBE = np.stack(np.meshgrid(*[np.linspace(0, 255, 5)] * 3, indexing="ij"), -1).reshape(5, 25, 3).astype(np.uint8)


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image | None:
    """An RGB or CMYK ``picture`` in sRGB; None without a profile of its kind, or with one that is sRGB within 3/255."""
    if not profile:
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), picture.mode, "RGB"
        )
        probe = picture.mode == "RGB" and ImageCms.applyTransform(Image.fromarray(_CUBE), transform)
        if probe and np.abs(np.asarray(probe).astype(int) - _CUBE).max() <= 3:
            return None
        return ImageCms.applyTransform(picture, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile says nothing
        return None


def from_srgb(pixels: np.ndarray, icc: bytes | None) -> tuple[bytes | None, np.ndarray]:
    """``pixels`` (H, W, 3) in the colours of the profile ``icc``; in sRGB, without one, where that has no way back."""
    picture = Image.fromarray(np.round(255 * pixels).astype(np.uint8))
    try:
        transform = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(icc or b"")), "RGB", "RGB"
        )
        found = ImageCms.applyTransform(picture, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):  # such as one for printing
        return None, pixels
    return icc, np.asarray(found) / 255

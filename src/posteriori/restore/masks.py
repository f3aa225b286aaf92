"""Masks: which pixels of an input are restored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.images.files import read_bytes
from posteriori.images.fit import Fit, cut, fit
from posteriori.images.picture import SUFFIXES, Picture, read_picture
from posteriori.restore.inputs import Loaded, Source, stem_of

#: of 255: what JPEG may leave of a mask's black, and what of damage may be mixed into what is kept
SLACK = 16


@dataclass(frozen=True)
class MaskFile:
    """``--mask``: a picture that is white where pixels are restored, black where they are kept; ``invert`` swaps.

    On a transparent layer, strokes in a bright colour, such as red, count as white. Grey counts as white: such pixels
    are partly damaged, as at the edge of a brush. Treating them as noisy (``PerPixelNoise.behind``) left an outline of
    the damage, and helped none of nine samplers. Values within ``SLACK`` of 255 count as black. ``pixels`` are (H, W),
    255 for white.
    """

    path: str
    pixels: np.ndarray
    sha256: str
    invert: bool

    @classmethod
    def read(cls, path: str, *, invert: bool) -> MaskFile:
        """Raises OSError or PosterioriError: no picture, all white, or all black."""
        data = read_bytes(path)
        grey = _strokes(read_picture(data, path))
        grey = 255 - grey if invert else grey
        grey = np.where(grey < SLACK, 0.0, 255.0).astype(np.float32)
        swapped = ", swapped by --mask-invert" if invert else ""
        for everything, colour, problem in (
            ((grey == 255).all(), ("white", "black")[invert], "nothing would be left to restore from"),
            (not grey.any(), ("black", "white")[invert], "there would be nothing to restore"),
        ):
            if everything:
                raise PosterioriError(
                    f"{path} is all {colour}: {problem}; white is to be restored and black kept{swapped}"
                )
        return cls(path, grey, hashlib.sha256(data).hexdigest(), invert)

    def hidden(self, loaded: Loaded, shape: tuple[int, ...], how: Fit | None, source: Source) -> Tensor:
        """Which pixels are to be restored, (1, H, W) of bool.

        Fitted as the picture was, or of the fitted size already. A pixel of a resized picture is one of them where
        ``SLACK`` of 255 or more is mixed into it.
        """
        pixels = self.pixels
        if "region" in loaded.about and pixels.shape == loaded.whole:
            pixels = cut(pixels, loaded.about["region"], self.path)
        size = pixels.shape[:2]
        if size not in (loaded.size, shape[1:]):
            (h, w), (height, width) = size, loaded.size
            raise PosterioriError(
                f"{self.path} is {w} x {h} pixels and {source.path} is {width} x {height}: give a mask of that size"
            )
        hidden = np.abs(fit(pixels, *shape[1:], how, self.path).pixels) >= SLACK  # negative ones are damage as well
        if hidden.all() or not hidden.any():
            left = "none of it is kept" if hidden.any() else "all of it is kept"
            raise PosterioriError(f"{self.path} is of no use for {source.path} after fitting: {left}")
        return torch.from_numpy(hidden)[None]


@dataclass(frozen=True)
class Masks:
    """One mask for all inputs, or each its own, by the input's name."""

    one: MaskFile | None
    own: Mapping[str, MaskFile]

    @classmethod
    def read(cls, path: str, sources: Sequence[Source], *, invert: bool) -> Masks:
        """From a picture, or a folder of masks whose files have the inputs' names, whatever their suffix.

        Raises OSError or PosterioriError as ``MaskFile.read``, and where an input has no mask, or two.
        """
        if not Path(path).is_dir():
            return cls(MaskFile.read(path, invert=invert), {})
        found: dict[str, list[Path]] = {}
        for file in sorted(Path(path).glob("[!.]*")):
            if file.name.lower().endswith(SUFFIXES) and file.is_file():
                found.setdefault(stem_of(str(file)), []).append(file)
        own = {}
        for source in sources:
            files = found.get(stem_of(source.path), [])
            if len(files) != 1:
                has = "has no mask" if not files else f"has {' and '.join(file.name for file in files)}"
                raise PosterioriError(
                    f"{path} {has} for {source.path}: put one picture there with the name {stem_of(source.path)}"
                )
            own[source.name] = MaskFile.read(str(files[0]), invert=invert)
        return cls(None, own)

    @classmethod
    def of_scratches(cls, source: Source, found: np.ndarray) -> Masks:
        """The mask (H, W) of bool that was ``found`` in an input."""
        pixels = np.where(found, np.float32(255), np.float32(0))
        mask = MaskFile(f"{source.name}-scratches.png", pixels, hashlib.sha256(found.tobytes()).hexdigest(), False)
        return cls(None, {source.name: mask})

    @property
    def seen(self) -> float:
        """The share of pixels that is kept."""
        kept = [(mask.pixels == 0).mean() for mask in ([self.one] if self.one else self.own.values())]
        return float(np.mean(kept))

    def of(self, source: Source) -> MaskFile:
        return self.one or self.own[source.name]


def _strokes(picture: Picture) -> np.ndarray:
    """The whiteness of a mask, (H, W) of 255: of a clear layer with strokes of any colour but black, theirs."""
    pixels, alpha = picture.eight_bits, picture.origin.alpha
    if alpha is None:
        return pixels.mean(2)
    own = (pixels - 255.0 * (1 - alpha[..., None])) / np.where(alpha > 0, alpha, 1)[..., None]  # it lies over white
    strokes = alpha * (own.max(2) >= 128)
    return 255 * strokes if strokes.any() else pixels.mean(2)

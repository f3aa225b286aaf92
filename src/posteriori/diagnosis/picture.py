"""What is wrong with a picture, what can be done about it, and why, in five lines."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from posteriori.diagnosis.blur import find_blur
from posteriori.diagnosis.jpeg import FoundJPEG, find_jpeg
from posteriori.diagnosis.noise import ROUNDING, FoundNoise, find_noise
from posteriori.diagnosis.scratches import Scratches, find_scratches
from posteriori.settings.noise import of_255

#: JPEG below this quality leaves visible blocks
VISIBLE = 75

#: the least noise sigma on [-1, 1] that is assumed with a blur: the smallest at which samplers were measured
LEAST = 0.01


@dataclass(frozen=True)
class Diagnosis:
    """What was found: ``blur`` is a Gaussian's std in pixels; ``decoded``: the operator `jpeg` made the picture."""

    noise: FoundNoise
    jpeg: FoundJPEG | None
    blur: float | None
    scratches: Scratches | None
    decoded: bool = False

    @property
    def compressed(self) -> bool:
        """Whether JPEG's changes are to be removed as noise: they are visible, and larger than the white noise left.

        JPEG removes high frequencies first, so the noise that it leaves looks like a camera's.
        """
        return self.jpeg is not None and self.jpeg.quality < VISIBLE and self.jpeg.sigma > self.noise.white

    @property
    def scratched(self) -> bool:
        """Whether scratches are filled and nothing else is done, since the filling relies on the pixels kept."""
        return self.scratches is not None and self.scratches.sure

    @property
    def two_scales(self) -> bool:
        """Whether camera noise is all that is to be removed."""
        return self.noise.correlated and self._nothing_else

    def told(self, sigma: float) -> bool:
        """Whether noise of a given ``sigma`` is a camera's: it would have been found if it were white."""
        return self.noise.grainy and sigma > 2 * self.noise.white and self._nothing_else

    @property
    def _nothing_else(self) -> bool:
        return not self.compressed and self.blur is None

    @property
    def codec(self) -> str | None:
        """The operator `jpeg` as text, if it is all that is to be inverted; there is no noise then."""
        only = self.compressed and self.decoded and self.blur is None
        return f"jpeg(quality={self.jpeg.quality})" if self.jpeg and only else None

    @property
    def operator(self) -> str:
        """The operator to invert besides the noise, as text."""
        return "identity" if self.blur is None else f"gaussian-blur(sigma={self.blur:.2g})"

    @property
    def sigma(self) -> float:
        """Of the noise, on [-1, 1]; with a blur at least ``LEAST``, since the width is an inexact estimate."""
        if self.blur is not None:
            return sigma_behind(self.noise, self.jpeg)
        return self.jpeg.sigma if self.jpeg and self.compressed else self.noise.sigma

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(subject, finding) for noise, JPEG, blur and lines, and what will be done and why."""
        noise, jpeg = self.noise, self.jpeg
        kind = "a camera's, stronger at half the resolution" if noise.correlated else "white"
        damaged = 0 if self.scratches is None else self.scratches.mask.mean()
        lines = f"over {damaged:.1%} of the pixels"
        faint = not noise.correlated and noise.white < 2 * ROUNDING
        undone = self.codec or (None if self.blur is None else self.operator)
        done = f"{undone} undone" if undone else "one network call"
        why = f"for {'what JPEG changed' if self.compressed else 'the noise'}, {of_255(self.sigma)}"
        if self.scratched:
            done = "the scratches filled"
            why = "and everything else kept to the last bit: restore the result again for the rest"
        elif self.two_scales:
            done = "two network calls, at half and at full resolution"
        elif self.blur is not None:
            why = f"with noise of {of_255(self.sigma)}: nine in ten edges are wide"
        elif faint and not self.compressed:
            why = "for rounding alone: nothing else was found to restore"
        said = "none beyond rounding" if faint else f"{of_255(noise.sigma)}, {kind}"
        return [
            ("noise", f"{said}; {noise.doubt}" if noise.doubt and self._nothing_else else said),
            (
                "jpeg",
                f"quality {jpeg.quality}, which changed pixels by {of_255(jpeg.sigma)}" if jpeg else "no JPEG file",
            ),
            ("blur", "none found" if self.blur is None else f"{self.blur:.2g} pixels, or enlarged from fewer pixels"),
            (
                "lines",
                "none found"
                if not damaged
                else f"scratches {lines}"
                if self.scratched
                else f"thin ones {lines}, scratches or part of the picture",
            ),
            ("does", f"{done}, {why}"),
        ]


def diagnose(x: Tensor, data: bytes, name: str) -> Diagnosis:
    """Looks at the picture ``x``, (1, C, H, W) on [-1, 1], of the file ``data``; ``name`` is for error messages."""
    noise = find_noise(x, name)
    jpeg = find_jpeg(data)
    decoded = jpeg is not None and jpeg.quality < VISIBLE and jpeg.made(x)  # seconds for a large picture
    return Diagnosis(noise, jpeg, find_blur(x, noise.sigma), find_scratches(x), decoded)


def sigma_behind(noise: FoundNoise, jpeg: FoundJPEG | None) -> float:
    """The noise, on [-1, 1], to assume with an operator: at least what JPEG changed, and at least ``LEAST``.

    With less, samplers take rounding and compression for detail and draw ripples.
    """
    return max(noise.sigma, jpeg.sigma if jpeg else 0.0, LEAST)

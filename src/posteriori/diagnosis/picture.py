"""What is wrong with a picture, what can be done about it, and why, in five lines."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from posteriori.diagnosis.blur import find_blur
from posteriori.diagnosis.jpeg import FoundJPEG, find_jpeg
from posteriori.diagnosis.noise import ROUNDING, FoundNoise, find_noise
from posteriori.diagnosis.scratches import Scratches, find_scratches

#: JPEG below this quality leaves blocks that are seen
VISIBLE = 75

#: sigma on [-1, 1] that a blur is undone with at least: the smallest at which samplers were measured
LEAST = 0.01


@dataclass(frozen=True)
class Diagnosis:
    """What was found: ``blur`` is a Gaussian's std in pixels."""

    noise: FoundNoise
    jpeg: FoundJPEG | None
    blur: float | None
    scratches: Scratches | None

    @property
    def compressed(self) -> bool:
        """Whether what JPEG changed is to be removed as noise: it is seen, and more than white noise that is left.

        JPEG takes high frequencies first, so that what it leaves looks like a camera's noise.
        """
        return self.jpeg is not None and self.jpeg.quality < VISIBLE and self.jpeg.sigma > self.noise.white

    @property
    def scratched(self) -> bool:
        """Whether scratches are filled, and nothing else done: what fills them goes by all that is kept."""
        return self.scratches is not None and self.scratches.sure

    @property
    def two_scales(self) -> bool:
        """Whether the noise is a camera's and alone."""
        return self.noise.correlated and self._nothing_else

    def told(self, sigma: float) -> bool:
        """Whether noise of which ``sigma`` is told is a camera's: it would be found if it were white."""
        return self.noise.grainy and sigma > 2 * self.noise.white and self._nothing_else

    @property
    def _nothing_else(self) -> bool:
        return not self.compressed and self.blur is None

    @property
    def operator(self) -> str:
        """The text of what is to be undone besides the noise."""
        return "identity" if self.blur is None else f"gaussian-blur(sigma={self.blur:.2g})"

    @property
    def sigma(self) -> float:
        """Of the noise, on [-1, 1]; with a blur at least ``LEAST``, for its width is an estimate that y contradicts."""
        if self.blur is not None:
            return sigma_behind(self.noise, self.jpeg)
        return self.jpeg.sigma if self.jpeg and self.compressed else self.noise.sigma

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(of what, what was found) four times, and what will be done and why."""
        noise, jpeg = self.noise, self.jpeg
        kind = "a camera's, stronger at half the resolution" if noise.correlated else "white"
        damaged = 0 if self.scratches is None else self.scratches.mask.mean()
        lines = f"over {damaged:.1%} of the pixels"
        faint = not noise.correlated and noise.white < 2 * ROUNDING
        done = "one network call" if self.blur is None else f"{self.operator} undone"
        why = f"for {'what JPEG changed' if self.compressed else 'the noise'}, {_of_255(self.sigma)}"
        if self.scratched:
            done, why = "the scratches filled", "and all else kept to the last bit: give the result for the rest"
        elif self.two_scales:
            done = "two network calls, at half the resolution and at the whole"
        elif self.blur is not None:
            why = f"with noise of {_of_255(self.sigma)}: nine in ten edges are wide"
        elif faint and not self.compressed:
            why = "for rounding alone: nothing was found that this could mend"
        said = "none beyond rounding" if faint else f"{_of_255(noise.sigma)}, {kind}"
        return [
            ("noise", f"{said}; {noise.doubt}" if noise.doubt and self._nothing_else else said),
            (
                "jpeg",
                f"quality {jpeg.quality}, which changed pixels by {_of_255(jpeg.sigma)}" if jpeg else "no JPEG file",
            ),
            ("blur", "none found" if self.blur is None else f"{self.blur:.2g} pixels, or enlarged from fewer pixels"),
            (
                "lines",
                "none found"
                if not damaged
                else f"scratches {lines}"
                if self.scratched
                else f"thin ones {lines}, scratches or its own",
            ),
            ("does", f"{done}, {why}"),
        ]


def diagnose(x: Tensor, data: bytes, name: str) -> Diagnosis:
    """Looks at the picture ``x``, (1, C, H, W) on [-1, 1], of the file ``data``; ``name`` is for error messages."""
    noise = find_noise(x, name)
    return Diagnosis(noise, find_jpeg(data), find_blur(x, noise.sigma), find_scratches(x))


def sigma_behind(noise: FoundNoise, jpeg: FoundJPEG | None) -> float:
    """The noise, on [-1, 1], that an operator is undone with: what JPEG changed counts, and ``LEAST`` at least.

    Told less, samplers take rounding and compression for detail and draw ripples.
    """
    return max(noise.sigma, jpeg.sigma if jpeg else 0.0, LEAST)


def _of_255(sigma: float) -> str:
    return f"{127.5 * sigma:.2g}/255"

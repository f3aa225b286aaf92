"""The options of `posteriori restore`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields

from posteriori.errors import UsageError
from posteriori.images.fit import Fit
from posteriori.images.written import Format
from posteriori.operators import Mask
from posteriori.settings.noise import AUTO
from posteriori.settings.text import Chain, read_operator


@dataclass(frozen=True)
class Request:
    """The options of `posteriori restore` that affect the pictures, as typed; its help explains them.

    Raises UsageError if two of them contradict each other.
    """

    files: tuple[str, ...]
    operator: str | None = None
    sampler: str = "auto"
    noise: str | None = None
    simulate: bool = False
    samples: int | None = None
    interval: float | None = None
    widen: float = 1.0
    steps: int | None = None
    time: str | None = None
    mask: str | None = None
    mask_invert: bool = False
    fit: Fit | None = None
    range: str | None = None
    format: Format | None = None
    region: str | None = None
    max_memory: str | None = None
    prior: str | None = None
    seed: int = 0
    batch: int | None = None
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if not self.unknown and (self.mask is None) == (self.operator in (None, Mask.name)):
            raise UsageError("say what degraded the pictures: give --operator SPEC or --mask FILE, not both")
        degraded, blind = self.degraded, self.blind
        if degraded and blind and len(degraded.parts) > 1:
            raise UsageError("a blur is found where it is all that degraded the picture: leave out what @ adds")
        if self.simulate and (self.unknown or blind or self.noise == AUTO):
            missing = "--operator SPEC or --mask FILE" if self.unknown else "--noise SIGMA"
            missing = "an --operator without auto" if blind else missing
            raise UsageError(f"--simulate degrades pictures: say how, by {missing}")
        if self.mask_invert and self.mask is None:
            raise UsageError("--mask-invert swaps the colours of a mask: give --mask FILE too")
        if self.interval is None and self.widen != 1:
            raise UsageError("--widen is for intervals: give --interval too, like 0.9")
        if self.time and self.steps:
            raise UsageError("--time chooses the steps: give it or --steps, not both")

    @property
    def unknown(self) -> bool:
        """Whether the degradation is not given."""
        return self.mask is None and self.operator is None

    @property
    def degraded(self) -> Chain | None:
        """What is said of it, but for a mask."""
        return None if self.mask or self.unknown else read_operator(self.operator or "")

    @property
    def blind(self) -> bool:
        """Whether its blur must be estimated from the picture."""
        return self.degraded is not None and self.degraded.unknown is not None

    def command(self, out: str) -> str:
        """The command line that makes the same pictures, with results in ``out``."""
        words = ["posteriori", "restore", *self.files]
        for field in fields(self)[1:]:
            value, option = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if value != field.default:
                words += [option] if value is True else [option, str(value)]
        return shlex.join([*words, "--out", out])

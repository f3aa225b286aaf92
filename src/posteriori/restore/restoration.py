"""What decides the pictures of a restoration, and its inputs made ready for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from posteriori import __version__
from posteriori.errors import PosterioriError
from posteriori.images.fit import Fit, Region, noise_left
from posteriori.images.span import read_span
from posteriori.images.written import Format
from posteriori.likelihoods import GaussianNoise, Noise
from posteriori.operators import Mask
from posteriori.operators.base import Operator
from posteriori.priors.base import Prior
from posteriori.priors.unet import TILE
from posteriori.restore.entry import Case
from posteriori.restore.inputs import Source, load
from posteriori.restore.intervals import IntervalRequest
from posteriori.restore.manifest import arithmetic
from posteriori.restore.masks import Masks
from posteriori.restore.methods import Method, Settled
from posteriori.restore.scale import check_scale
from posteriori.settings.noise import describe_noise
from posteriori.settings.text import Chain, format_spec


@dataclass(frozen=True)
class Setting:
    """What pictures of one size are restored with; ``operator`` is None where each has a mask of its own."""

    prior: Prior
    operator: Operator | None
    noise: Noise
    method: Settled


@dataclass(frozen=True)
class Restoration:
    """Everything that decides the pictures. ``operator`` is None where ``masks`` makes one for each picture.

    ``simulate``: inputs are clean pictures, to be degraded with ``noise`` first. Pictures are
    fitted to the prior's size, unless its network is convolutional and takes any. ``operator`` and ``noise`` are said
    of the files' pixels; a picture that is resized, and not simulated, has its own of both. ``batch`` is the rows of
    one network call; inputs are grouped by their order, so that a run that was stopped
    goes on with the same groups. Measurements of any size, where not simulated, have the operators' own defaults
    for files, such as a blur's border, and pictures of the prior's one size those for them. ``range`` is the scale of
    measurements that do not say it (``restore/scale.py``). ``format`` is that of the results, None for the inputs' own.
    Of pictures the ``region`` alone is restored. ``load`` is how another process gets the prior.
    """

    prior: Prior
    prior_record: dict[str, Any]
    method: Method
    operator: Chain | None
    masks: Masks | None
    noise: Noise
    seed: int
    simulate: bool
    fit: Fit | None
    batch: int | None
    interval: IntervalRequest | None = None
    range: str | None = None
    format: Format | None = None
    region: Region | None = None
    load: Callable[[], Prior] | None = field(default=None, repr=False)
    _settings: dict[tuple[tuple[int, ...], float, bool], Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.range:
            read_span(self.range)
        if self._any_size and self.fit:
            raise PosterioriError(f"{self.prior.name} takes pictures of any size: leave out --fit {self.fit}")
        if self._any_size and self.operator and not self.simulate:
            object.__setattr__(self, "operator", self.operator.for_files())
        if not self._any_size:
            # what is wrong with the operator at this size is known before any work
            self.setting(self.prior.shape, self._scale(0))

    @property
    def _any_size(self) -> bool:
        return self.prior.any_size

    @property
    def steps(self) -> int:
        """Ticks that an input takes."""
        return self.method.steps(self.prior.schedule)

    def settings(self, case: Case) -> dict[str, Any]:
        """What decides the pictures of ``case``, besides its input."""
        own = self.masks.of(case.source) if self.masks else None
        mask = {"file": own.path, "sha256": own.sha256, "invert": own.invert} if own else None
        return {
            "posteriori": __version__,
            "operator": "mask" if self.masks else format_spec(case.operator),
            "mask": mask,
            **case.method.record(case.prior),
            "prior": self.prior_record,
            "size": list(case.prior.shape[1:]),
            "simulate": self.simulate,
            "fit": self.fit,
            "range": self.range,
            **({"format": self.format} if self.format else {}),
            **({"region": list(self.region)} if self.region else {}),
            **({"tile": tile} if (tile := getattr(self.prior, "tile", TILE)) != TILE else {}),
            "seed": self.seed,
            "interval": self.interval and asdict(self.interval),
            "noise": self._noise,
            "batch": self.rows,
            **arithmetic(self.prior),
        }

    def describe(self, case: Case) -> list[tuple[str, str]]:
        """(of what, what is used) where it was not typed: the noise on both scales, where settings come from."""
        prior, dtype = case.prior, self.settings(case)["dtype"]
        height, width = prior.shape[-2:]
        tiles = f" in {prior.tiles} tiles" if prior.tiles > 1 else ""
        lines = [
            ("prior", f"{prior.name}, {width} x {height} pixels{tiles}, {dtype} on {prior.device}"),
            ("noise", describe_noise(self.noise)),
            *case.method.describe(prior),
        ]
        if self.fit == "resize" and not self.simulate and "fit" in case.loaded.about:
            text = re.sub(r"\d+\.\d{4,}", lambda digits: f"{float(digits[0]):.4g}", format_spec(case.operator))
            own = "" if self.masks else f": the operator is {text} there"
            factor = case.loaded.factor
            pixels = f"{case.loaded.about['fit']}, {factor:.3g} px of the file to 1{own}"
            lines.append(("fit", f"{pixels}, and the noise is multiplied by {noise_left(factor):.3g}"))
        return lines

    @property
    def _noise(self) -> dict[str, Any]:
        level = self.noise.level
        model = {} if isinstance(self.noise, GaussianNoise) else {"model": format_spec(self.noise)}
        return model | {"sigma": level, "range": [-1, 1], "of 255": level / 2 * 255}

    @property
    def rows(self) -> int:
        """Of one network call."""
        return self.batch or 1

    def groups(self, sources: Sequence[Source]) -> list[Sequence[Source]]:
        """``sources`` in the order and company in which they are restored."""
        size = max(1, self.rows // self.method.n)
        return [sources[i : i + size] for i in range(0, len(sources), size)]

    def case(self, source: Source) -> Case:
        """Reads and, to simulate, degrades an input. Raises OSError or PosterioriError."""
        asked: dict[str, Any] = {"arrays": not self.simulate, "scale": self.range, "region": self.region}
        loaded = load(source, self._measured_shape(), self.fit, **asked)
        shape: tuple[int, ...] = tuple(loaded.x.shape[1:])
        if not self.simulate:
            shape = self._image_shape(shape, source)
        array = loaded.about["kind"] == "array"
        fitted = not (array or self.simulate or self._any_size)
        setting = self.setting(shape, self._scale(loaded.factor), fitted=fitted)
        operator = setting.operator
        if operator is None:
            assert self.masks
            operator = Mask(shape, ~self.masks.of(source).hidden(loaded, shape, self.fit, source))
        x = loaded.x
        if not self.simulate and operator.measured_shape == (1, *x.shape[2:]):  # of a picture, which has three channels
            x = x.mean(1, keepdim=True)
        if array:
            check_scale(x, operator, self.noise.level, self.range, source.path)
        y = setting.noise.simulate(x, operator, seed=self.seed).y if self.simulate else operator.zero_filled(x)
        truth = x if self.simulate else None
        return Case(source, loaded, setting.prior, operator, setting.method, setting.noise, y, truth)

    def _image_shape(self, measured: tuple[int, ...], source: Source) -> tuple[int, ...]:
        """The shape of the image behind a measurement: one that the prior takes, and that the operator measures so."""
        try:
            shape = self.operator.image_shape(measured) if self.operator else measured
        except (ValueError, IndexError):  # from a shape that is none of the operator's
            shape = ()
        if len(shape) == 3 and shape[0] == self.prior.shape[0]:
            operator = self.setting(shape, 1.0).operator
            if operator is None or operator.measured_shape in (measured, (1, *measured[1:])):
                return shape
        gives = self.operator.build(self.prior.shape).measured_shape if self.operator else self.prior.shape
        raise PosterioriError(
            f"{source.path} has shape {measured}: with this operator, images {self.prior.shape} have measurements "
            f"{gives}, and other sizes accordingly"
        )

    def _measured_shape(self) -> tuple[int, ...] | None:
        """The shape (C, H, W) that inputs must have; None where any will do."""
        if self._any_size:
            return None
        operator = self.setting(self.prior.shape, self._scale(0)).operator
        if self.simulate or operator is None:
            return self.prior.shape
        return operator.measured_shape

    def _scale(self, factor: float) -> float:
        """How many of the pixels that the operator is said of become one; of 0, of as many as make a blur small."""
        if self.simulate or self.fit != "resize":
            return 1.0
        return factor or float(max(self.prior.shape))

    def setting(self, shape: tuple[int, ...], factor: float, *, fitted: bool = False) -> Setting:
        """What images of this ``shape`` are restored with; ``factor`` pixels of the file have become one.

        ``fitted``: of pictures that a prior of one size restores.
        """
        key = (shape, factor, fitted)
        if key not in self._settings:
            prior = self.prior if shape == self.prior.shape else self.prior.at((shape[-2], shape[-1]))
            chain, noise = self.operator, self.noise
            if chain and fitted:
                chain = chain.for_files(fitted=True)
            if factor != 1:
                chain, noise = chain and chain.of_resized(factor), noise.averaged(noise_left(factor))
            operator = chain.build(shape) if chain else None
            # settings are those of any mask
            method = self.method.settled(prior, operator or Mask(shape), noise)
            self._settings[key] = Setting(prior, operator, noise, method)
        return self._settings[key]

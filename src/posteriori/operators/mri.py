"""Magnetic resonance imaging: lines of k-space, measured by one coil or by several."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, final

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.operators.base import Operator
from posteriori.operators.kspace import KSpace, draw, inverse, is_complex, joined, parts, pixels, transform
from posteriori.operators.linear import LinearOperator
from posteriori.rng import Purpose, generator


@dataclass(frozen=True, eq=False)
class _Lines(Operator):
    """Which columns of k-space are measured: fastMRI's Cartesian masks.

    Of N columns, the middle round(centre N) are measured, at least one. The others are drawn independently, such that N
    / acceleration are expected in all ("random"), or are equally spaced with the same number, from a random first one
    ("equispaced").
    """

    mask: Annotated[Literal["random", "equispaced"], "how columns outside the middle are chosen"] = "random"
    acceleration: Annotated[float, Ge(1), "columns of k-space per measured column"] = 4.0
    centre: Annotated[
        float | None, Gt(0), Le(1), "share of the columns in the middle; none: 0.32 / acceleration, 0.08 at 4"
    ] = None
    seed: Annotated[int, Ge(0), "seed of the columns"] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        width = pixels(self.shape)[1]
        if self._middle > width / self.acceleration:
            raise PosterioriError(
                f"the middle has {self._middle} columns, and acceleration {self.acceleration:g} leaves "
                f"{width / self.acceleration:.3g} of {width}: lower acceleration or centre"
            )

    @property
    def _middle(self) -> int:
        share = 0.32 / self.acceleration if self.centre is None else self.centre
        return max(1, round(share * self.shape[2]))

    @cached_property
    @torch.inference_mode(False)
    def keep(self) -> Tensor:
        """True where k-space is measured, (H, W), the zero frequency at (H // 2, W // 2)."""
        height, width = self.shape[1:]
        middle, stream = self._middle, generator(self.seed, Purpose.OPERATOR)
        rest, others = width / self.acceleration - middle, width - middle
        if self.mask == "random":
            columns = torch.rand(width, generator=stream, dtype=torch.float64) < rest / max(others, 1)
        else:
            columns = torch.zeros(width, dtype=torch.bool)
            if rest > 0:
                spacing = others / rest
                first = int(torch.randint(round(spacing), (), generator=stream))
                columns[torch.arange(first, width - 1, spacing, dtype=torch.float64).round().long()] = True
        start = (width - middle + 1) // 2
        columns[start : start + middle] = True
        return columns.expand(height, width).clone()


@final
@dataclass(frozen=True)
class MRI(_Lines, KSpace):
    """Magnetic resonance imaging with one coil: columns of the image's Fourier transform.

    y = M F x, (2, H, W), with real and imaginary part, zero where M measures nothing, and the zero frequency in the
    middle. F is the orthonormal discrete Fourier transform. An image of two channels is complex, with real and
    imaginary part. The channels of other images are real images of their own, and y is (C, 2, H, W). M keeps columns as
    fastMRI's masks do: round(centre N) of the N columns in the middle, and as many others as make N / acceleration,
    random or equally spaced. The default centre is 8% at acceleration 4 and 4% at 8.

    Paper: Zbontar et al. 2018, "fastMRI: an open dataset and benchmarks for accelerated MRI", section 4.
    """

    name: ClassVar[str] = "mri"


@final
@dataclass(frozen=True, eq=False)
class MulticoilMRI(_Lines, LinearOperator):
    """Magnetic resonance imaging with several coils, each with its own sensitivity.

    y_c = M F (S_c x) for the coils c, (coils, 2, H, W) for a complex image (2, H, W), else (C, coils, 2, H, W). M and F
    are as for ``mri``. ``maps`` gives the sensitivities S_c, complex (coils, H, W). Normalise them to sum_c |S_c|^2 =
    1, as measured ones usually are. Without maps, they are simulated: ``coils`` small loops at equal angles on a circle
    of 1.5 times the radius of the field of view, with |S_c| = 1 / distance and the phase of the direction, normalised.

    Paper: Zbontar et al. 2018, "fastMRI: an open dataset and benchmarks for accelerated MRI", eq. 3; Pruessmann et al.
    1999, "SENSE: sensitivity encoding for fast MRI". The simulated maps are sigpy's birdcage_maps.
    """

    name: ClassVar[str] = "multicoil-mri"

    coils: Annotated[int, Ge(1), "number of coils to simulate, without maps"] = 4
    maps: Annotated[Tensor | None, "sensitivities S_c, complex (coils, H, W); none: simulated"] = field(
        default=None, repr=False
    )

    @classmethod
    def image_shape(cls, measured: tuple[int, ...], **fields: Any) -> tuple[int, ...]:
        return (2 if len(measured) == 4 else measured[0], *measured[-2:])

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.maps is None:
            return
        maps = torch.as_tensor(self.maps)
        if maps.ndim != 3 or maps.shape[1:] != self.shape[1:] or not maps.is_complex():
            raise PosterioriError(
                f"the maps are {tuple(maps.shape)} of {str(maps.dtype).removeprefix('torch.')}; images of {self.shape} "
                f"need complex (coils, {self.shape[1]}, {self.shape[2]})"
            )
        if not maps.isfinite().all() or not maps.any():
            raise PosterioriError("the maps hold NaN or infinity, or only zeros: give finite sensitivities")
        object.__setattr__(self, "maps", maps)
        object.__setattr__(self, "coils", len(maps))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MulticoilMRI) or self._settings != other._settings:
            return False
        return self.maps is other.maps or torch.equal(self.sensitivities, other.sensitivities)

    def __hash__(self) -> int:
        return hash(self._settings)

    @property
    def _settings(self) -> tuple[Any, ...]:
        return self.shape, self.mask, self.acceleration, self.centre, self.seed, self.coils

    @cached_property
    @torch.inference_mode(False)
    def sensitivities(self) -> Tensor:
        """S_c, (coils, H, W) complex."""
        return birdcage(self.coils, *self.shape[1:]) if self.maps is None else self.maps

    def _maps(self, near: Tensor) -> Tensor:
        return self.sensitivities.to(near.device, torch.complex128 if near.dtype == torch.float64 else torch.complex64)

    def __call__(self, x: Tensor) -> Tensor:
        z = joined(x) if is_complex(self.shape) else x
        return self.zero_filled(parts(transform(self._maps(x) * z.unsqueeze(-3))))

    def adjoint(self, y: Tensor) -> Tensor:
        z = (self._maps(y).conj() * inverse(joined(self.zero_filled(y)))).sum(-3)
        return parts(z) if is_complex(self.shape) else z.real

    def initial_estimate(self, y: Tensor) -> Tensor:
        """The zero-filled image of each coil, combined by the sensitivities."""
        return self.adjoint(y)

    def zero_filled(self, y: Tensor) -> Tensor:
        return y.where(self.keep.to(y.device), 0.0)

    def observed_entries(self, y: Tensor) -> Tensor:
        return y[..., self.keep.to(y.device)].flatten(1)

    def drawing(self, y: Tensor) -> tuple[str, Tensor]:
        return draw(y, self.shape)


def birdcage(coils: int, height: int, width: int, radius: float = 1.5) -> Tensor:
    """Simulated sensitivities, (coils, height, width) complex128, with sum_c |S_c|^2 = 1.

    Coil c is at the angle 2 pi c / coils, at ``radius`` times half the field of view from its middle.
    """
    angle = (2 * math.pi / coils * torch.arange(coils, dtype=torch.float64))[:, None, None]
    across, down = (2 * torch.arange(side, dtype=torch.float64) / side - 1 for side in (width, height))
    right, below = across - radius * angle.cos(), down[:, None] - radius * angle.sin()
    z = torch.polar(1 / (right.square() + below.square()).sqrt(), torch.atan2(right, -below) - angle)
    return z / z.abs().square().sum(0).sqrt()

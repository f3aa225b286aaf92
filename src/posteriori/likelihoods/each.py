"""Measurements with an operator each: a mask or a kernel for every picture, in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods.base import Additive, Conditional, Likelihood, Linear


class Each(Likelihood):
    """Likelihoods of images of one shape, in one batch, each with its own operator, such as a mask.

    ``parts`` have one or more measurements each. ``Each`` can do what all its parts can, except for an SVD: of linear
    likelihoods it is an ``EachLinear``. Additive ones must have the same sigma. ``residual`` and ``misfit`` are padded
    with zeros in rows that observe fewer entries than others. PosterioriError if the parts do not fit together.
    """

    def __new__(cls, parts: Sequence[Likelihood]) -> Each:
        if cls is Each:
            kinds = ((Linear, EachLinear), (Conditional, EachConditional), (Additive, EachAdditive))
            cls = next((own for kind, own in kinds if all(isinstance(part, kind) for part in parts)), Each)
        return super().__new__(cls)

    def __init__(self, parts: Sequence[Likelihood]):
        if not parts:
            raise PosterioriError("no measurement is given: give one likelihood or more")
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            raise PosterioriError(
                f"the images are {' and '.join(map(str, sorted(shapes)))}: give likelihoods of one shape"
            )
        self.parts: list[Any] = list(parts)  # of the type that the class needs
        self.shape = parts[0].shape

    @property
    def about(self) -> str:
        return f"an operator for each measurement; the first has {self.parts[0].about}"

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def select(self, rows: slice) -> Self:
        chosen, at, kept = range(len(self))[rows], 0, []
        for part in self.parts:
            own = [row - at for row in chosen if at <= row < at + len(part)]
            if own:
                kept.append(part.select(slice(own[0], own[-1] + 1, chosen.step)))
            at += len(part)
        return type(self)(kept)

    def _each(self, of: Callable[[Any], Any]) -> list[Any]:
        return [of(part) for part in self.parts]

    def expand(self, n: int) -> Self:
        return type(self)(self._each(lambda part: part.expand(n)))

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Self:
        return type(self)(self._each(lambda part: part.to(device, dtype)))

    def keys(self) -> list[int]:
        return [key for own in self._each(lambda part: part.keys()) for key in own]

    def initial_estimate(self) -> Tensor:
        return torch.cat(self._each(lambda part: part.initial_estimate()))

    def _rows(self, of: Callable[..., Tensor], *images: Tensor) -> Tensor:
        """``of`` (part, its rows of the images), concatenated, with zeros where one is shorter."""
        own = zip(self.parts, *(image.split([len(part) for part in self.parts]) for image in images), strict=True)
        found = [of(*given) for given in own]
        if found[0].ndim == 2:
            most = max(rows.shape[1] for rows in found)
            found = [F.pad(rows, (0, most - rows.shape[1])) for rows in found]
        return torch.cat(found)

    def residual(self, x: Tensor) -> Tensor:
        return self._rows(lambda part, own: part.residual(own), x)

    def misfit(self, x: Tensor) -> Tensor:
        return self._rows(lambda part, own: part.misfit(own), x)

    def log_prob(self, x: Tensor) -> Tensor:
        return self._rows(lambda part, own: part.log_prob(own), x)


class EachAdditive(Each, Additive):
    """With Gaussian noise."""

    def __init__(self, parts: Sequence[Additive]):
        super().__init__(parts)
        sigmas = {part.sigma for part in parts}
        if len(sigmas) > 1:
            raise PosterioriError(
                f"sigma is {' and '.join(f'{sigma:.4g}' for sigma in sorted(sigmas))}: give measurements of one sigma"
            )
        self.sigma = parts[0].sigma

    def with_sigma(self, sigma: float) -> Self:
        return type(self)(self._each(lambda part: part.with_sigma(sigma)))


class EachConditional(EachAdditive, Conditional):
    """With Gaussian noise and operators whose conditional mean is known."""

    def conditional_mean(self, z: Tensor, std: float) -> Tensor:
        return self._rows(lambda part, own: part.conditional_mean(own, std), z)

    def whitening(self, n: Tensor, z: Tensor, std: float, sigma: float) -> Tensor | None:
        def of(part: Conditional, n: Tensor, z: Tensor) -> Tensor:
            found = part.whitening(n, z, std, sigma)
            return torch.zeros_like(z) if found is None else found

        return self._rows(of, n, z)


class EachLinear(EachConditional, Linear):
    """With Gaussian noise and linear operators."""

    conditional_mean = Linear.conditional_mean
    whitening = Linear.whitening

    def prox(self, z: Tensor, rho: float) -> Tensor:
        return self._rows(lambda part, own: part.prox(own, rho), z)

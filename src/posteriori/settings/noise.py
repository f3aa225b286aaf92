"""Noise as people write it: sigma on [-1, 1], a fraction of the picture's range, or a model with its parameters."""

from __future__ import annotations

import math
import re

from posteriori.errors import PosterioriError
from posteriori.likelihoods import NOISES, GaussianNoise, Noise
from posteriori.settings.text import format_spec, parse_noise_model

#: of ``--noise``: as the picture says
AUTO = "auto"

_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)"
_NOISE = re.compile(rf"{_NUMBER}(?:\s*/\s*{_NUMBER})?", re.ASCII | re.IGNORECASE)
#: five times the whole range: nothing of the picture is left
_LARGEST = 10.0


def parse_noise(text: str) -> float:
    """sigma on the [-1, 1] scale: ``0.05`` is on it already, ``25/255`` is of the picture's range and gives 2 * 25/255.

    Raises PosterioriError, one line, for anything else, a negative level, and one above 10.
    """
    found = _NOISE.fullmatch(text.strip())
    whole = float(found[2]) if found and found[2] else 2.0  # [-1, 1] is 2 wide
    sigma = 2 * float(found[1]) / whole if found and whole > 0 else math.nan
    if not 0 <= sigma <= _LARGEST:
        raise PosterioriError(
            f"noise is {text!r}: give sigma on the [-1, 1] scale, 0 to {_LARGEST:g}, e.g. 0.05; "
            "or a fraction of the picture's range, e.g. 25/255"
        )
    return sigma


def read_noise(text: str) -> Noise:
    """The noise of ``text``: Gaussian for a level as in ``parse_noise``, or a model's, like ``poisson(peak=30)``.

    Raises PosterioriError, one line, for anything else.
    """
    name, parenthesis, _ = text.strip().partition("(")
    if not parenthesis and name not in (cls.name for cls in NOISES):
        try:
            return GaussianNoise(parse_noise(text))
        except PosterioriError as error:
            names = ", ".join(cls.name for cls in NOISES)
            raise PosterioriError(f"{error}; or a model with its parameters, one of {names}") from None
    noise = parse_noise_model(text)
    if isinstance(noise, GaussianNoise) and noise.sigma > _LARGEST:
        raise PosterioriError(f"sigma is {noise.sigma:g}: give one on the [-1, 1] scale, 0 to {_LARGEST:g}")
    return noise


def describe_noise(noise: Noise) -> str:
    """What is printed of a noise: its model, if it is not Gaussian, and its level in both forms."""
    if isinstance(noise, GaussianNoise):
        return f"sigma {format_noise(noise.sigma)}"
    return f"{format_spec(noise)}: at middle grey, sigma {format_noise(noise.level)}"


def format_noise(sigma: float) -> str:
    """Both forms of ``sigma``, given on [-1, 1]."""
    return f"{sigma:.4g} on [-1, 1], {sigma / 2 * 255:.4g}/255 of the picture's range"


def of_255(sigma: float) -> str:
    """``sigma``, given on [-1, 1], as a fraction of the picture's range, rounded to two digits: such as 8.4/255."""
    return f"{sigma / 2 * 255:.2g}/255"

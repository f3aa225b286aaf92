"""Restores images from measurements y = A(x) + n with pretrained diffusion models as priors.

Names are imported on first use, so that the command line starts without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from posteriori import metrics as metrics
    from posteriori.hub.load import load_prior as load_prior
    from posteriori.images.files import load_image as load_image
    from posteriori.images.files import save_image as save_image
    from posteriori.likelihoods import Each as Each
    from posteriori.likelihoods import Flat as Flat
    from posteriori.likelihoods import Gaussian as Gaussian
    from posteriori.likelihoods import PerPixelNoise as PerPixelNoise
    from posteriori.likelihoods import Poisson as Poisson
    from posteriori.loop import sample as sample
    from posteriori.operators import *  # noqa: F403
    from posteriori.priors.mixture import GaussianMixture as GaussianMixture
    from posteriori.samplers import *  # noqa: F403
    from posteriori.settings.deepinv import from_deepinv as from_deepinv
    from posteriori.settings.presets import preset as preset
    from posteriori.settings.probe import check as check

_HOMES = {
    "images.files": ("load_image", "save_image"),
    "likelihoods": ("Each", "Flat", "Gaussian", "PerPixelNoise", "Poisson"),
    "hub.load": ("load_prior",),
    "priors.mixture": ("GaussianMixture",),
    "loop": ("sample",),
    "settings.deepinv": ("from_deepinv",),
    "settings.presets": ("preset",),
    "settings.probe": ("check",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def _listed() -> dict[str, type]:
    """The classes of the two lists that know themselves what they hold."""
    from posteriori.operators import OPERATORS
    from posteriori.samplers import SAMPLERS

    return {cls.__name__: cls for cls in (*OPERATORS, *SAMPLERS)}


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("posteriori.metrics")
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"posteriori.{_HOME_OF[name]}"), name)
    if name == "__all__":
        return ["metrics", *_HOME_OF, *_listed()]
    if not name.startswith("_") and name in (listed := _listed()):
        return listed[name]
    raise AttributeError(f"module 'posteriori' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__getattr__("__all__")])

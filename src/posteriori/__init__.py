"""Restores images from measurements y = A(x) + n with pretrained diffusion models as priors.

Names are imported on first use, so that the command line starts without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from posteriori import metrics as metrics
    from posteriori.images import load_image as load_image
    from posteriori.images import save_image as save_image
    from posteriori.likelihood import Flat as Flat
    from posteriori.likelihood import Gaussian as Gaussian
    from posteriori.loop import sample as sample
    from posteriori.operators import BoxMask as BoxMask
    from posteriori.operators import Dense as Dense
    from posteriori.operators import Downsample as Downsample
    from posteriori.operators import GaussianBlur as GaussianBlur
    from posteriori.operators import Identity as Identity
    from posteriori.operators import Mask as Mask
    from posteriori.presets import preset as preset
    from posteriori.priors.load import load_prior as load_prior
    from posteriori.priors.mixture import GaussianMixture as GaussianMixture
    from posteriori.samplers import DAPS as DAPS
    from posteriori.samplers import DDIM as DDIM
    from posteriori.samplers import DDNM as DDNM
    from posteriori.samplers import DDRM as DDRM
    from posteriori.samplers import DPS as DPS
    from posteriori.samplers import MALA as MALA
    from posteriori.samplers import MMPS as MMPS
    from posteriori.samplers import TDS as TDS
    from posteriori.samplers import TMPD as TMPD
    from posteriori.samplers import AnnealedLangevin as AnnealedLangevin
    from posteriori.samplers import DiffPIR as DiffPIR
    from posteriori.samplers import MCGDiff as MCGDiff
    from posteriori.samplers import PiGDM as PiGDM
    from posteriori.samplers import PnPDM as PnPDM
    from posteriori.samplers import REDDiff as REDDiff
    from posteriori.samplers import RePaint as RePaint
    from posteriori.samplers import Reverse as Reverse
    from posteriori.samplers import ScoreALD as ScoreALD
    from posteriori.samplers import SDEdit as SDEdit

_HOMES = {
    "images": ("load_image", "save_image"),
    "likelihood": ("Flat", "Gaussian"),
    "operators": ("BoxMask", "Dense", "Downsample", "GaussianBlur", "Identity", "Mask"),
    "presets": ("preset",),
    "priors.load": ("load_prior",),
    "priors.mixture": ("GaussianMixture",),
    "loop": ("sample",),
    "samplers": (
        "DAPS",
        "DDIM",
        "DDNM",
        "DDRM",
        "DPS",
        "MALA",
        "MMPS",
        "TDS",
        "TMPD",
        "AnnealedLangevin",
        "DiffPIR",
        "MCGDiff",
        "PiGDM",
        "PnPDM",
        "REDDiff",
        "RePaint",
        "Reverse",
        "ScoreALD",
        "SDEdit",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["metrics", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name == "metrics":
        return importlib.import_module("posteriori.metrics")
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"posteriori.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module 'posteriori' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""The samplers that ship: this tuple feeds the CLI and the protocol tests."""

from posteriori.guidance.ddnm import DDNM
from posteriori.guidance.diffpir import DiffPIR
from posteriori.guidance.mmps import MMPS
from posteriori.guidance.pigdm import PiGDM
from posteriori.guidance.tmpd import TMPD
from posteriori.sampler import Sampler
from posteriori.samplers.annealed_langevin import AnnealedLangevin
from posteriori.samplers.daps import DAPS
from posteriori.samplers.ddim import DDIM
from posteriori.samplers.ddrm import DDRM
from posteriori.samplers.dps import DPS
from posteriori.samplers.mala import MALA
from posteriori.samplers.mcgdiff import MCGDiff
from posteriori.samplers.pnpdm import PnPDM
from posteriori.samplers.reddiff import REDDiff
from posteriori.samplers.repaint import RePaint
from posteriori.samplers.reverse import Reverse
from posteriori.samplers.scoreald import ScoreALD
from posteriori.samplers.sdedit import SDEdit
from posteriori.samplers.tds import TDS

SAMPLERS: tuple[type[Sampler], ...] = (
    DDIM,
    SDEdit,
    ScoreALD,
    DPS,
    AnnealedLangevin,
    RePaint,
    DDRM,
    DDNM,
    DiffPIR,
    PiGDM,
    MMPS,
    TMPD,
    Reverse,
    DAPS,
    REDDiff,
    TDS,
    MCGDiff,
    PnPDM,
    MALA,
)

__all__ = [
    "DAPS",
    "DDIM",
    "DDNM",
    "DDRM",
    "DPS",
    "MALA",
    "MMPS",
    "SAMPLERS",
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
    "SDEdit",
    "ScoreALD",
]

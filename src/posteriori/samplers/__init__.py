"""The samplers that ship, one line each, in the order of every list.

A new sampler needs only its line here: the exports, the listing, the text form, presets and the protocol tests follow.
"""
# ruff: noqa: F401, I001

from posteriori.names import classes
from posteriori.sampler import Sampler

from posteriori.samplers.ddim import DDIM
from posteriori.samplers.sdedit import SDEdit
from posteriori.samplers.scoreald import ScoreALD
from posteriori.samplers.dps import DPS
from posteriori.samplers.annealed_langevin import AnnealedLangevin
from posteriori.samplers.repaint import RePaint
from posteriori.samplers.ddrm import DDRM
from posteriori.guidance.ddnm import DDNM
from posteriori.guidance.diffpir import DiffPIR
from posteriori.guidance.pigdm import PiGDM
from posteriori.guidance.mmps import MMPS
from posteriori.guidance.tmpd import TMPD
from posteriori.samplers.reverse import Reverse
from posteriori.samplers.daps import DAPS
from posteriori.samplers.reddiff import REDDiff
from posteriori.samplers.dpir import DPIR
from posteriori.samplers.sitcom import SITCOM
from posteriori.samplers.mgdm import MGDM
from posteriori.samplers.dcps import DCPS
from posteriori.samplers.tds import TDS
from posteriori.samplers.mcgdiff import MCGDiff
from posteriori.samplers.pnpdm import PnPDM
from posteriori.samplers.mala import MALA

SAMPLERS: tuple[type[Sampler], ...] = classes(globals(), Sampler)

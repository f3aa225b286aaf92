"""The operators that ship, one line each, in the order of every list.

A new operator needs only its line here: the exports, the listing, the text form and the protocol tests follow.
"""
# ruff: noqa: F401, I001

from posteriori.names import classes
from posteriori.operators.base import Operator

from posteriori.operators.identity import Identity
from posteriori.operators.mask import BoxMask, Mask
from posteriori.operators.patterns import LineMask, Outpaint, RandomMask
from posteriori.operators.blur import BoxBlur, GaussianBlur
from posteriori.operators.convolution import Blur, Defocus
from posteriori.operators.motion import MotionBlur
from posteriori.operators.resample import Bicubic, Decimate, Downsample
from posteriori.operators.colour import Bayer, ChannelLoss, Grey
from posteriori.operators.jpeg import JPEG
from posteriori.operators.bit_depth import BitDepth
from posteriori.operators.tone import HDR, Gamma
from posteriori.operators.phase import PhaseRetrieval
from posteriori.operators.dense import Dense
from posteriori.operators.compressed import Fourier, WalshHadamard
from posteriori.operators.mri import MRI, MulticoilMRI
from posteriori.operators.ct import CT

OPERATORS: tuple[type[Operator], ...] = classes(globals(), Operator)

"""The operators that ship: this tuple feeds the CLI and the protocol tests."""

from posteriori.operators.base import Operator
from posteriori.operators.blur import GaussianBlur
from posteriori.operators.dense import Dense
from posteriori.operators.identity import Identity
from posteriori.operators.mask import BoxMask, Mask
from posteriori.operators.resample import Downsample

OPERATORS: tuple[type[Operator], ...] = (Identity, BoxMask, Mask, GaussianBlur, Downsample, Dense)

__all__ = ["OPERATORS", "BoxMask", "Dense", "Downsample", "GaussianBlur", "Identity", "Mask"]

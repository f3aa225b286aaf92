"""p(y | x): the likelihoods that ship, and the noise models that simulate their measurements.

A new noise model needs only its line here: the text form of ``--noise`` and its listing follow.
"""
# ruff: noqa: F401

from posteriori.likelihoods.base import Additive, Likelihood, Linear, Marginal, Measured, Noise, Spectral
from posteriori.likelihoods.each import Each
from posteriori.likelihoods.flat import Flat
from posteriori.likelihoods.gaussian import Gaussian, GaussianNoise, PerPixelNoise
from posteriori.likelihoods.impulse import SaltAndPepper, SaltAndPepperNoise
from posteriori.likelihoods.poisson import Poisson, PoissonGaussian, PoissonGaussianNoise, PoissonNoise
from posteriori.likelihoods.quantisation import QuantisationNoise, Quantised
from posteriori.likelihoods.speckle import Speckle, SpeckleNoise
from posteriori.names import classes

NOISES: tuple[type[Noise], ...] = classes(globals(), Noise)

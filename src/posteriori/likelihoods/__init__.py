"""p(y | x): the likelihoods that ship, and the noise models that they are simulated with."""

from posteriori.likelihoods.base import Additive, Likelihood, Linear, Marginal, Measured, Noise, Spectral
from posteriori.likelihoods.flat import Flat
from posteriori.likelihoods.gaussian import Gaussian, GaussianNoise, PerPixelNoise
from posteriori.likelihoods.poisson import Poisson, PoissonNoise

__all__ = [
    "Additive",
    "Flat",
    "Gaussian",
    "GaussianNoise",
    "Likelihood",
    "Linear",
    "Marginal",
    "Measured",
    "Noise",
    "PerPixelNoise",
    "Poisson",
    "PoissonNoise",
    "Spectral",
    "noise_model",
]


def noise_model(sigma: float) -> Noise[Measured]:
    """The noise that the setting ``sigma``, on the [-1, 1] scale, stands for.

    Every run and every study makes its likelihoods with this noise model.
    """
    return GaussianNoise(sigma)

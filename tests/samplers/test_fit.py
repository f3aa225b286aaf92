"""Which samplers fit a likelihood, and what is said where one does not."""

import pytest
import torch

from posteriori.likelihoods import Flat, Gaussian, Poisson
from posteriori.loop import sample
from posteriori.samplers import DDRM, SAMPLERS, PiGDM
from posteriori.settings.text import parse_sampler
from tests.helpers import IMAGE, Quantiser, WithoutSVD, image_mixture, small_operators

PRIOR, BLUR = image_mixture(), small_operators()[3]
ANY = {"ddim", "sdedit", "scoreald", "dps", "daps", "reddiff", "sitcom", "mgdm", "pnpdm"}
ADDITIVE = ANY | {"annealed-langevin", "dcps"}
LINEAR = ADDITIVE | {"repaint", "diffpir", "pigdm", "mmps", "tmpd", "reverse", "dpir"}
X = PRIOR.draw(2, seed=1).clamp(-1, 1)
FITTING = [
    (Poisson.simulate(X, BLUR, 50.0), ANY),
    (Poisson.simulate(X, Quantiser(IMAGE), 50.0), ANY),
    (Gaussian.simulate(X, Quantiser(IMAGE), 0.2), ADDITIVE),
    (Gaussian.simulate(X, WithoutSVD(IMAGE, BLUR), 0.2), LINEAR),
    (Gaussian.simulate(X, BLUR, 0.2), {cls.name for cls in SAMPLERS}),
    (Flat(2, IMAGE), {cls.name for cls in SAMPLERS}),
]


def short(cls):
    sampler = parse_sampler("daps(ode_steps=1, langevin_steps=2)") if cls.name == "daps" else cls()
    return sampler.with_steps(4)


@pytest.mark.parametrize("cls", SAMPLERS, ids=lambda cls: cls.name)
@pytest.mark.parametrize(("like", "fitting"), FITTING, ids=lambda like: getattr(like, "about", ""))
def test_a_sampler_runs_where_it_fits_and_is_refused_elsewhere(cls, like, fitting):
    if cls.name in fitting:
        assert torch.isfinite(sample(PRIOR, like, short(cls), progress=False)).all()
    else:
        with pytest.raises(
            ValueError, match=f"^{cls.__name__} needs .*; this likelihood has .*: take one of "
        ) as error:
            sample(PRIOR, like, short(cls), progress=False)
        assert set(str(error.value).rpartition("take one of ")[2].split(", ")) == fitting


@pytest.mark.parametrize(
    ("sampler", "like", "message"),
    [
        (
            DDRM(),
            FITTING[0][0],
            "DDRM needs an operator with an SVD and Gaussian noise; this likelihood has Poisson noise and an operator "
            "with an SVD (GaussianBlur): take one of ddim, sdedit, scoreald, dps, daps, reddiff, "
            "sitcom, mgdm, pnpdm",
        ),
        (
            PiGDM(),
            FITTING[2][0],
            "PiGDM needs a linear operator and Gaussian noise; this likelihood has Gaussian noise and a nonlinear "
            "operator (Quantiser): take one of ddim, sdedit, scoreald, dps, annealed-langevin, daps, reddiff, "
            "sitcom, mgdm, dcps, pnpdm",
        ),
    ],
)
def test_an_unfit_pair_is_one_line(sampler, like, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        sample(PRIOR, like, sampler)
    assert str(error.value) == message

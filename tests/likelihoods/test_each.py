"""Measurements with an operator each: every row is what it is alone."""

import pytest
import torch

from posteriori.likelihoods import Each, Gaussian, Linear, Poisson
from posteriori.likelihoods.base import Additive, Conditional
from posteriori.loop import sample
from posteriori.operators import GaussianBlur, Mask
from posteriori.samplers import DAPS, DDRM, DPS, DiffPIR, PiGDM
from tests.helpers import IMAGE, Quantiser, image_mixture, normal

PRIOR = image_mixture()
MASKS = [Mask(IMAGE, normal(1, 8, 8, seed=seed) > 0) for seed in (1, 2)]
OPERATORS = [*MASKS, GaussianBlur(IMAGE, sigma=1.0, size=5)]
X = PRIOR.draw(3, seed=1).float().clamp(-1, 1)
PARTS = [Gaussian.simulate(x[None], operator, 0.1) for x, operator in zip(X, OPERATORS, strict=True)]


@pytest.mark.parametrize("sampler", [DPS(), DiffPIR(), PiGDM(), DAPS(ode_steps=1, langevin_steps=2)],
                         ids=lambda sampler: sampler.name)  # fmt: skip
def test_pictures_with_an_operator_each_are_restored_as_they_are_alone(sampler):
    sampler = sampler.with_steps(4)
    together = sample(PRIOR, Each(PARTS), sampler, n=2, batch=4, seed=3, progress=False)
    alone = torch.cat([sample(PRIOR, part, sampler, n=2, seed=3, progress=False) for part in PARTS])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_its_statistics_are_those_of_the_rows():
    each, x = Each(PARTS), normal(3, *IMAGE)
    assert len(each) == 3
    assert each.keys() == [key for part in PARTS for key in part.keys()]  # noqa: SIM118
    for name in ("log_prob", "score"):
        expected = torch.cat([getattr(part, name)(row[None]) for part, row in zip(PARTS, x, strict=True)])
        torch.testing.assert_close(getattr(each, name)(x), expected)
    norms = torch.cat([part.misfit(row[None]).norm(dim=1) for part, row in zip(PARTS, x, strict=True)])
    torch.testing.assert_close(each.misfit(x).norm(dim=1), norms)
    torch.testing.assert_close(each.widen(0.2).residual(x).norm(dim=1), norms / (0.1**2 + 0.2**2) ** 0.5)
    own = each.expand(2).select(slice(1, 5))
    torch.testing.assert_close(own.log_prob(x[[0, 1, 1, 2]]), each.log_prob(x)[[0, 1, 1, 2]])


def test_what_it_can_do_is_what_all_can():
    rounds = Gaussian.simulate(X[:1], Quantiser(IMAGE), 0.1)
    assert isinstance(Each(PARTS), Linear)
    assert isinstance(Each([*PARTS, rounds]), Additive)
    assert not isinstance(Each([*PARTS, rounds]), Conditional)
    assert not isinstance(Each([PARTS[0], Poisson.simulate(X[:1], MASKS[0], 30.0)]), Additive)
    with pytest.raises(ValueError, match=r"^DDRM needs an operator with an SVD .* an operator for each measurement"):
        sample(PRIOR, Each(PARTS), DDRM(), progress=False)


def test_what_does_not_go_together_is_refused():
    other = Mask((3, 4, 4), normal(4, 4) > 0)
    with pytest.raises(ValueError, match=r"the images are \(3, 4, 4\) and \(3, 8, 8\): give likelihoods of one shape"):
        Each([PARTS[0], Gaussian.simulate(normal(1, 3, 4, 4), other, 0.1)])
    with pytest.raises(ValueError, match=r"sigma is 0\.1 and 0\.2: give measurements of one sigma"):
        Each([PARTS[0], Gaussian.simulate(X[:1], MASKS[1], 0.2)])
    with pytest.raises(ValueError, match="no measurement is given"):
        Each([])

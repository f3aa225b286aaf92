"""Every sampler on every operator: it runs, or says in one line what does."""

import pytest
import torch

from posteriori.errors import PosterioriError
from posteriori.likelihoods import GaussianNoise
from posteriori.loop import sample
from posteriori.operators import OPERATORS
from posteriori.operators.rounding import Rounding
from posteriori.samplers import SAMPLERS
from posteriori.settings.text import read_sampler
from tests.helpers import IMAGE, image_mixture, normal

PRIOR = image_mixture()
X = PRIOR.draw(1, seed=1).float().clamp(-1, 1)
#: what 8 x 8 pixels need, or have no default
SET = {"gaussian-blur": {"sigma": 1.0, "size": 5}, "dense": {"matrix": normal(20, 192)}}
#: fewer inner steps, for time
SHORT = {
    "daps": "daps(ode_steps=1, langevin_steps=2)",
    "pnpdm": "pnpdm(inner=1, langevin_steps=2)",
    "repaint": "repaint(jump=1, repeats=1)",
    "mala": "mala(inner=1)",
    "annealed-langevin": "annealed-langevin(inner=1)",
}
#: follow the density of y, and there is none without noise
DENSITY = {"pnpdm", "dcps"}
SHORTENED = [read_sampler(SHORT.get(cls.name, cls.name)).build().with_steps(2) for cls in SAMPLERS]


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda cls: cls.name)
def test_every_sampler_runs_or_names_those_that_do(cls):
    operator = cls(IMAGE, **SET.get(cls.name, {}))
    like = GaussianNoise(0.0 if issubclass(cls, Rounding) else 0.2).simulate(X, operator)
    refused = {}
    for sampler in SHORTENED:
        if not like.sigma and sampler.name in DENSITY:
            with pytest.raises(PosterioriError, match="no density at sigma = 0: give sigma > 0"):
                sample(PRIOR, like, sampler, progress=False)
        elif isinstance(like, sampler.requires):
            x = sample(PRIOR, like, sampler, progress=False)
            assert x.shape == (1, 1, *IMAGE)
            assert torch.isfinite(x).all()
        else:
            with pytest.raises(PosterioriError) as error:
                sample(PRIOR, like, sampler, progress=False)
            refused[sampler.name] = str(error.value)
    run = [sampler.name for sampler in SHORTENED if sampler.name not in refused]
    assert len(run) >= 7
    for message in refused.values():
        assert "\n" not in message
        assert message.endswith(f": take one of {', '.join(run)}")

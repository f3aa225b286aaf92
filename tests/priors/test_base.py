"""A prior says everything about itself, and so does what is wrapped around it."""

import pytest
import torch

from posteriori.observers import CountedPrior
from posteriori.priors.base import Denoised, Prior, Wrapped
from posteriori.priors.tiled import Tiled
from posteriori.schedule import linear_betas

LEVEL = linear_betas(50).level(20)


class Answer(Prior):
    """A prior that says of itself what none says by default."""

    name, shape, schedule, bounds = "answer", (3, 8, 8), linear_betas(50), (-2.0, 3.0)
    dtype, device, stride, any_size = torch.bfloat16, torch.device("meta"), 4, True
    learned_variance, shift, checkpointing = True, (0.1, 0.2), True
    tiles, tile_size, together = 7, (4, 4), 3

    def denoise(self, x_t, t):
        return Denoised(0.5 * x_t, torch.ones_like(x_t))

    def at(self, size):
        return f"at {size}"


class Blank(Wrapped):
    def denoise(self, x_t, t):
        return self.prior.denoise(x_t, t)._replace(x0=0 * x_t)


@pytest.mark.parametrize("wrapper", [CountedPrior, Blank, lambda prior: CountedPrior(Blank(prior))])
def test_a_wrapper_says_what_the_prior_inside_says(wrapper):
    prior = Answer()
    wrapped = wrapper(prior)
    for name in Prior.__annotations__:
        assert getattr(prior, name) != getattr(Prior, name, None), f"{name} is the default: it shows nothing"
        assert getattr(wrapped, name) == getattr(prior, name), name
    assert wrapped.at(16) == "at 16"


def test_tiles_say_their_own_shape_number_and_variance():
    tiled = Tiled(Answer(), (3, 40, 40), tile=24, overlap=8)
    assert (tiled.shape, tiled.tiles, tiled.learned_variance) == ((3, 40, 40), 4, False)
    assert tiled.denoise(torch.zeros(1, 3, 40, 40), LEVEL).variance_fraction is None
    own = set(Prior.__annotations__) - {"shape", "tiles", "tile_size", "together", "learned_variance"}
    assert all(getattr(tiled, name) == getattr(Answer, name) for name in own)

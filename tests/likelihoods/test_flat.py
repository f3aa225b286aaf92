import pytest
import torch

from posteriori.likelihoods import Flat
from tests.helpers import IMAGE, normal


def test_flat_says_nothing():
    flat, x = Flat(3, IMAGE), normal(3, *IMAGE)
    assert torch.equal(flat.score(x), torch.zeros_like(x))
    assert torch.equal(flat.log_prob(x), torch.zeros(3))
    assert flat.residual(x).shape == flat.misfit(x).shape == (3, 0)
    assert torch.equal(flat.prox(x, 0.0), x)
    assert flat.widen(1.0) is flat.with_sigma(0.3) is flat.truncated() is flat
    y, std = flat.spectrum()
    assert (y.shape, std.shape, flat.Vt(x).shape) == ((3, 0), (0,), (3, 0))
    assert torch.equal(flat.V(y), torch.zeros_like(x))
    assert (len(flat), len(flat.expand(4))) == (3, 12)
    assert flat.select(slice(1, 3)).keys() == flat.keys()[1:]
    assert flat.initial_estimate().shape == (3, *IMAGE)
    with pytest.raises(ValueError, match="n is 0"):
        Flat(0, IMAGE)

"""Group norm with SiLU has torch's values and gradients, whichever way they are computed."""

import pytest
import torch
import torch.nn.functional as F

from posteriori.priors.norm import GroupNormSiLU, group_norm_silu


def given(*shape, dtype):
    """x of a mean and a scale of its own in every channel, the gradient of the output, weight and bias."""
    generator = torch.Generator().manual_seed(0)
    x, g, wide = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    w, b = torch.randn(2, shape[1], generator=generator, dtype=torch.float64)
    x = x * (1 + wide[:1, :, :1, :1].square()) + 2 * wide[:, :, :1, :1]
    x, g = (z.contiguous(memory_format=torch.channels_last) for z in (x, g))
    return tuple(z.to(dtype) for z in (x, g, w, b))


def plain(x, groups, w, b, eps):
    return F.silu(F.group_norm(x, groups, w, b, eps))


def value_and_gradient(f, x, g, *others):
    x = x.detach().requires_grad_()
    y = f(x, *others)
    return y.detach(), torch.autograd.grad(y, x, g)[0]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("shape", "groups"), [((3, 12, 5, 7), 4), ((1, 6, 8, 8), 6), ((2, 8, 3, 3), 1)])
def test_it_is_torchs_in_float64(shape, groups, layout):
    x, g, w, b = given(*shape, dtype=torch.float64)
    x, others = x.contiguous(memory_format=layout), (groups, w, b, 1e-2)
    found, expected = (value_and_gradient(f, x, g, *others) for f in (GroupNormSiLU.apply, plain))
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e, rtol=0, atol=1e-12 * e.abs().max().item())


def test_in_bfloat16_it_rounds_no_more_than_torchs():
    x, g, w, b = given(2, 32, 32, 32, dtype=torch.bfloat16)
    exact = value_and_gradient(plain, x.double(), g.double(), 8, w.double(), b.double(), 1e-5)
    found, torchs = (value_and_gradient(f, x, g, 8, w, b, 1e-5) for f in (group_norm_silu, plain))
    for f, t, e in zip(found, torchs, exact, strict=True):
        error = [((own.double() - e).norm() / e.norm()).item() for own in (f, t)]
        assert error[0] < 4e-3  # rounding once gives 1.7e-3
        assert error[0] < 1.1 * error[1]


def test_where_torchs_gradient_is_slow_it_takes_the_other_way():
    def took(x, groups, w, b):
        return "GroupNormSiLU" in type(group_norm_silu(x.requires_grad_(), groups, w, b, 1e-5).grad_fn).__name__

    x, _, w, b = given(1, 32, 32, 32, dtype=torch.bfloat16)
    assert took(x, 8, w, b)
    assert not took(x, 2, w, b)
    assert not took(x.detach()[..., :16], 8, w, b)
    assert not took(x.detach().float(), 8, w.float(), b.float())
    assert not took(x.detach(), 8, w.requires_grad_(), b)  # in training


def test_it_can_be_differentiated_twice():
    x, _, w, b = given(2, 4, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: GroupNormSiLU.apply(x, 2, w, b, 1e-2), x.requires_grad_())


def test_a_gradient_can_be_asked_for_again():
    x, g, w, b = given(1, 4, 3, 3, dtype=torch.float64)
    y = GroupNormSiLU.apply(x.requires_grad_(), 2, w, b, 1e-5)
    first, second = (torch.autograd.grad(y, x, g, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)

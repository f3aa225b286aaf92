"""A trial of a user's own class before any work: shapes, gradients, determinism, and independence of rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import BoxMask
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator
from posteriori.priors.mixture import GaussianMixture
from posteriori.sampler import Sampler, State
from posteriori.settings.own import said

#: relative to the largest entry; what batches of another size round otherwise is far below
_CLOSE = 1e-3


class _Faulty(PosterioriError):
    """What is wrong with a class."""


@torch.inference_mode(False)
@torch.enable_grad()
def check(thing: Sampler | Operator) -> None:
    """Tests an operator or a sampler of your own on random numbers of its shape.

    For an operator: A(x) has one row for each x, is finite, deterministic, the same in a batch and alone, and
    differentiable; ``adjoint`` is the adjoint of A, compared with its gradient; ``prox`` and ``initial_estimate``
    return images. For a sampler: three steps. Raises PosterioriError, one line with the shapes, for the first test that
    fails.
    """
    name = f"{getattr(thing, 'name', '').partition('#')[0]}:{type(thing).__name__}".lstrip(":")
    with torch.random.fork_rng(devices=[]):
        _probe_operator(thing, name) if isinstance(thing, Operator) else _probe_sampler(thing, name)


#: ``check``, once for each class and its fields
probe = lru_cache(check)


def _probe_operator(A: Operator, name: str) -> None:
    x = torch.randn(2, *A.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32).requires_grad_()
    y = _run(lambda: A(x), f"{name}: A(x) of x {_shape(x)}")
    rows = isinstance(y, Tensor) and y.shape[:1] == (2,)
    _expect(rows, f"{name}: A(x) is {_shape(y)} for x {_shape(x)}: give a y for each x")
    _expect(bool(torch.isfinite(y).all()), f"{name}: A(x) of x {_shape(x)} has entries that are not finite")
    _expect(bool(torch.equal(y, A(x))), f"{name}: A(x) differs between two calls: leave the noise to the likelihood")
    _expect(_near(A(x[1:]), y[1:]), f"{name}: A(x)[1] depends on x[0]: compute each row of x {_shape(x)} separately")
    wide = _run(lambda: A(x.detach().double()), f"{name}: A(x) of x in float64")
    _expect(_near(wide, y), f"{name}: A(x) differs for x in float64")
    _expect(y.requires_grad, f"{name}: A(x) has no gradient: compute it with torch's functions only")
    v = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    (g,) = _run(lambda: torch.autograd.grad(y, x, v), f"{name}: the gradient of A(x)")
    _expect(bool(torch.isfinite(g).all()), f"{name}: the gradient of A(x) has entries that are not finite")
    y, x = y.detach(), x.detach()
    first = _run(lambda: A.initial_estimate(y), f"{name}: initial_estimate of y {_shape(y)}")
    _same_shape(first, x, f"{name}: initial_estimate(y)", y)
    if isinstance(A, LinearOperator):
        back = _run(lambda: A.adjoint(v), f"{name}: adjoint of y {_shape(y)}")
        _same_shape(back, x, f"{name}: adjoint(y)", y)
        _expect(_near(back, g), f"{name}: adjoint(y) is not the adjoint of A(x): <A x, y> and <x, A^T y> differ")
        _same_shape(_run(lambda: A.prox(x, y, 1.0), f"{name}: prox of z {_shape(x)}"), x, f"{name}: prox(z, y, rho)", y)


def _probe_sampler(sampler: Sampler, name: str) -> None:
    prior = GaussianMixture(torch.zeros(1, 3, 8, 8), 0.25 * torch.eye(192)[None])
    operator = BoxMask(prior.shape)
    like = Gaussian.simulate(prior.draw(2), operator, 0.1)
    few = _run(lambda: sampler.with_steps(3), f"{name}: with_steps(3)")

    def watch(state: State, step: int, steps: int, rows: slice) -> None:
        expected = (state.n * (rows.stop - rows.start), *prior.shape)
        right = tuple(state.x.shape) == expected
        _expect(right, f"{name}: x is {_shape(state.x)} after step {step}: give one of {expected}")

    def draw(like: Gaussian) -> Tensor:
        trial = lambda: sample(prior, like, few, n=2, callbacks=[watch], progress=False)  # noqa: E731
        return _run(trial, f"{name}: three steps with x {tuple(prior.shape)}")

    x = draw(like)
    _expect(torch.equal(x, draw(like)), f"{name}: one seed gives two results: draw random numbers from rng alone")
    alone = draw(like.select(slice(1, 2)))
    _expect(_near(alone, x[1:]), f"{name}: x of one measurement depends on the others: compute each row separately")


def _run(call: Callable, what: str):
    """What ``call`` gives; an error in it says ``what`` was tried."""
    try:
        return call()
    except _Faulty:
        raise
    except Exception as error:
        raise _Faulty(f"{what} fails: {said(error)}") from error


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Faulty(otherwise)


def _same_shape(found: object, x: Tensor, what: str, y: Tensor) -> None:
    right = isinstance(found, Tensor) and found.shape == x.shape
    _expect(right, f"{what} is {_shape(found)} for y {_shape(y)}: give one of {_shape(x)}, as x is")


def _near(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= _CLOSE * b.abs().max())


def _shape(found: object) -> str:
    return str(tuple(found.shape)) if isinstance(found, Tensor) else type(found).__name__

"""Classes of a user's own, from files: what is refused, what is remembered, and the examples of docs/extending.md."""

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import posteriori
from posteriori.operators.linear import LinearOperator
from posteriori.sampler import Sampler
from posteriori.settings.text import format_spec, parse_operator, parse_sampler, read_sampler
from posteriori.studies.engine.plan import Run

SHAPE = (3, 8, 8)


@pytest.mark.usefixtures("examples")
def test_the_examples_are_read_back_as_written():
    sampler = parse_sampler("mine.py:Nudged(rate=0.5, steps=5)")
    text = format_spec(sampler)
    assert re.match(r"mine\.py#[0-9a-f]{16}:Nudged\(rate=0\.5, steps=5, ", text)
    assert parse_sampler(text) == sampler
    operator = parse_operator("my.py:Blur(width=5)", SHAPE)
    assert re.fullmatch(r"my\.py#[0-9a-f]{16}:Blur\(width=5\)", format_spec(operator))
    assert parse_operator(format_spec(operator), SHAPE) == operator
    x = torch.randn(1, *SHAPE)
    torch.testing.assert_close(operator(x)[..., 4, 4], x[..., 2:7, 2:7].mean((-1, -2)))
    inner = parse_sampler("sdedit(base=mine.py:Nudged(rate=2))")
    assert inner.base == parse_sampler("mine.py:Nudged(rate=2)")
    inner = parse_sampler("reverse(guidance=mine.py:Nudged(rate=2), integrator=heun)")
    assert inner.guidance == parse_sampler("mine.py:Nudged(rate=2)")


@pytest.mark.usefixtures("examples")
def test_a_worker_takes_the_text(tmp_path):
    text = format_spec(parse_sampler("mine.py:Nudged"))
    code = f"from posteriori.settings.text import *; print(format_spec(parse_sampler({text!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == text


def test_another_version_is_another_sampler(examples):
    run = Run(("p", "0"), SHAPE, format_spec(parse_sampler("mine.py:Nudged")), "", 0.1, (), (0,), 1)
    Path("mine.py").write_text(examples["mine.py"] + "# changed\n")
    changed = format_spec(parse_sampler("mine.py:Nudged"))
    assert replace(run, method=changed).key != run.key
    first = changed.partition("#")[2][:16]
    assert read_sampler(run.method).cls is not read_sampler(changed).cls  # this process has read both
    with pytest.raises(ValueError, match=f"mine.py has changed: its sha256 begins with {first}, that of the text"):
        parse_sampler(changed.replace(first, "0" * 16))


OPERATOR = """
from dataclasses import dataclass
from typing import Annotated
import torch
from posteriori.operators.base import Operator
from posteriori.operators.linear import LinearOperator

@dataclass(frozen=True)
class Mine(BASE):
    FIELD
    def __call__(self, x):
        return CALL
    def initial_estimate(self, y):
        return GUESS
    def adjoint(self, y):
        return ADJOINT
    def prox(self, z, y, rho):
        return z
"""
SAMPLER = """
from dataclasses import dataclass
from typing import Annotated
import torch
from posteriori.sampler import State
from posteriori.guidance.base import ReverseSampler
from posteriori.priors.base import Denoised

@dataclass(frozen=True, kw_only=True)
class Mine(ReverseSampler):
    FIELD
    def step(self, state, s, prior, like, rng):
        x0 = prior.estimate(state.x, state.level, self.clip).x0
        x = self.reverse(state.x, Denoised(x0), state.level, s, rng)
        return State(X, s, state.n, x0)
"""


def operator(**parts):
    plain = {"BASE": "LinearOperator", "FIELD": "", "CALL": "2 * x", "GUESS": "y", "ADJOINT": "2 * y"}
    return filled(OPERATOR, plain | parts)


def sampler(**parts):
    return filled(SAMPLER, {"FIELD": "", "X": "x"} | parts)


def filled(text, parts):
    for name, part in parts.items():
        text = text.replace(name, part)
    return text


def test_what_is_right_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(operator())
    assert parse_operator("my.py:Mine", SHAPE).shape == SHAPE
    Path("my.py").write_text(sampler())
    assert isinstance(parse_sampler(f"{tmp_path}/my.py:Mine"), Sampler)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (operator(CALL="x.sum(0, keepdim=True)"), r"my.py:Mine: A\(x\) is \(1, 3, 8, 8\) for x \(2, 3, 8, 8\): "),
        (operator(CALL="None"), r"A\(x\) is NoneType for x \(2, 3, 8, 8\)"),
        (operator(CALL="x @ torch.ones(3, 3)"), r"A\(x\) of x \(2, 3, 8, 8\) fails: RuntimeError: .*mat"),
        (operator(CALL="x / 0"), "that are not finite"),
        (operator(CALL="x + torch.randn(x.shape)"), "A\\(x\\) differs between two calls"),
        (operator(CALL="x - x.mean()"), r"A\(x\)\[1\] depends on x\[0\]"),
        (operator(CALL="x @ torch.ones(8, 8)"), "A\\(x\\) of x in float64 fails: RuntimeError"),
        (operator(CALL="x.detach()"), "A\\(x\\) has no gradient"),
        (operator(GUESS="y[:, :1]"), r"initial_estimate\(y\) is \(2, 1, 8, 8\) for y .*: give one of \(2, 3, 8, 8\)"),
        (operator(ADJOINT="y[..., 1:]"), r"adjoint\(y\) is \(2, 3, 8, 7\) for y \(2, 3, 8, 8\)"),
        (operator(ADJOINT="y"), r"adjoint\(y\) is not the adjoint of A\(x\)"),
        (operator(FIELD="width: int = 3"), r'does not say what width is: write width: Annotated\[float, "its'),
        (operator(FIELD='width: Annotated[str, "w"] = ""'), "has a field width of a type that a text cannot give"),
        (operator(BASE="torch.nn.Module"), "my.py:Mine is not derived from Operator: derive it"),
        (operator().replace("def initial_estimate", "def estimate"), "my.py:Mine has no initial_estimate: write it as"),
        (operator(FIELD='width: Annotated[int, "w"] = 3').replace("@dataclass(frozen=True)", ""), "is not a dataclass"),
        (operator().replace("Mine", "Yours"), "my.py has no class Mine: it has Yours"),
        ("raise RuntimeError('no')", "my.py cannot be run: RuntimeError: no"),
        ("1 +", "my.py cannot be run: SyntaxError: invalid syntax"),
        (None, "my.py cannot be read .*: give the path of a Python file .at character 1 of 'my.py:Mine'"),
    ],
)  # fmt: skip
def test_a_faulty_operator_is_told_in_one_line(code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if code is not None:
        Path("my.py").write_text(code)
    with pytest.raises(ValueError, match=message) as error:
        parse_operator("my.py:Mine", SHAPE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (sampler(X="x[:1]"), r"my.py:Mine: x is \(1, 3, 8, 8\) after step 1: give one of \(4, 3, 8, 8\)"),
        (sampler(X="x.mean(1)"), r"x is \(4, 8, 8\) after step 1"),
        (sampler(X="x + torch.randn(x.shape)"), "one seed gives two results: draw random numbers from rng alone"),
        (sampler(X="x / x.norm()"), "x of one measurement depends on the others"),
        (sampler(X="x @ torch.ones(3, 3)"), r"three steps with x \(3, 8, 8\) fails: RuntimeError"),
        (sampler(X="x / 0"), "fails: FloatingPointError: Mine reached NaN or infinity at step 1 of 3"),
        (sampler(FIELD="rate: float = 1.0"), "does not say what rate is"),
    ],
)
def test_a_faulty_sampler_is_told_in_one_line(code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(code)
    with pytest.raises(ValueError, match=message) as error:
        parse_sampler("my.py:Mine")
    assert "\n" not in str(error.value)


def test_an_operator_in_python_is_checked_as_one_in_a_file_is():
    posteriori.check(posteriori.Bicubic((3, 8, 8), 2))

    @dataclass(frozen=True)
    class Wrong(LinearOperator):
        def __call__(self, x):
            return 2 * x

        def adjoint(self, y):
            return y

        def initial_estimate(self, y):
            return y

    with pytest.raises(ValueError, match=r"\AWrong: adjoint\(y\) is not the adjoint of A\(x\).*differ\Z"):
        posteriori.check(Wrong((3, 4, 4)))

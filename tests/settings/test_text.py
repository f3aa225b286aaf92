from dataclasses import fields
from types import UnionType
from typing import Literal, get_args, get_origin

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posteriori.operators import OPERATORS, BoxMask, Dense, Downsample, GaussianBlur, Identity, Mask
from posteriori.sampler import Sampler
from posteriori.samplers import DDIM, DPS, SAMPLERS, AnnealedLangevin, ScoreALD, SDEdit
from posteriori.settings.fields import about, accepts, class_fields
from posteriori.settings.text import (
    INSTEAD,
    Spec,
    Unknown,
    format_spec,
    parse_operator,
    parse_sampler,
    read_operator,
    read_sampler,
    read_samplers,
)

SHAPE = (3, 256, 256)
CLASSES = [*SAMPLERS, *OPERATORS]


@pytest.mark.parametrize(
    ("text", "sampler"),
    [
        ("dps", DPS()),
        ("dps()", DPS()),
        ("dps(scale=0.3,)", DPS(scale=0.3)),
        ("dps(steps=0250)", DPS(steps=250)),
        ("\tdps\n(scale=1)", DPS(scale=1)),
        ("dps(scale=0.3)", DPS(scale=0.3)),
        (" dps ( scale = 3e-1 ,\n steps = 250 ) ", DPS(scale=0.3, steps=250)),
        ("dps(gradient=norm, scale=.5, variance='small')", DPS(gradient="norm", scale=0.5, variance="small")),
        ('ddim(eta=0, spacing=leading, variance="auto")', DDIM(eta=0, spacing="leading")),
        ("scoreald(lambda_T=1E2, lambda_0=5.)", ScoreALD(lambda_T=100, lambda_0=5)),
        ("annealed-langevin(levels=+30)", AnnealedLangevin(levels=30)),
        ("sdedit(base=ddim)", SDEdit()),
        ("sdedit(base=dps(scale=2), t_start=250)", SDEdit(base=DPS(scale=2), t_start=250)),
    ],
)
def test_samplers(text, sampler):
    assert parse_sampler(text) == sampler


@pytest.mark.parametrize(
    ("text", "operator"),
    [
        ("identity", Identity(SHAPE)),
        ("gaussian-blur(sigma=3.0, size=61)", GaussianBlur(SHAPE, 3.0, 61)),
        ("box-mask(size=50, top=103, left=103)", BoxMask(SHAPE)),
        ("box-mask(size=none, top=0)", BoxMask(SHAPE, top=0)),
        ("downsample(factor=8)", Downsample(SHAPE, 8)),
    ],
)
def test_operators(text, operator):
    assert parse_operator(text, SHAPE) == operator


def test_only_the_given_fields_are_read():
    assert read_sampler("dps(scale=1)") == Spec(DPS, {"scale": 1.0})
    assert read_sampler("sdedit(base=ddim(eta=0))") == Spec(SDEdit, {"base": Spec(DDIM, {"eta": 0.0})})


def test_a_whole_number_for_a_number_becomes_one():
    assert type(read_sampler("dps(scale=1)").fields["scale"]) is float


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (BoxMask(SHAPE), "box-mask(size=50, top=103, left=103)"),
        (Identity(SHAPE), "identity"),
        (
            DPS(scale=1e-5, steps=250),
            "dps(scale=1e-05, gradient=unit, steps=250, spacing=linspace, eta=1.0, variance=auto, clip=true)",
        ),
        (
            SDEdit(base=DDIM(clip=False)),
            "sdedit(t_start=500, base=ddim(steps=1000, spacing=linspace, eta=1.0, variance=auto, clip=false))",
        ),
    ],
)
def test_every_field_is_written_a_classs_own_first(thing, text):
    assert format_spec(thing) == text


def values(kind) -> st.SearchStrategy:
    """What a field of the annotation ``kind`` may hold, and more: the classes refuse what they cannot use."""
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is UnionType:
        return st.one_of(*map(values, get_args(kind)))
    if issubclass(kind, Sampler):
        return st.one_of(*(built(cls) for cls in SAMPLERS if issubclass(cls, kind)))
    return {
        int: st.integers(1, 300),
        float: st.one_of(st.floats(0, 1), st.floats(0, 1e300), st.integers(1, 1000)),
        bool: st.booleans(),
        type(None): st.none(),
    }[kind]


def built(cls, *shape) -> st.SearchStrategy:
    def build(chosen):
        try:
            return cls(*shape, **chosen)
        except ValueError:
            return None

    return st.fixed_dictionaries({f.name: values(f.type) for f in class_fields(cls)}).map(build).filter(bool)


@pytest.mark.parametrize("cls", SAMPLERS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_sampler_is_read_back_as_written(cls, data):
    sampler = data.draw(built(cls))
    assert parse_sampler(format_spec(sampler)) == sampler


@pytest.mark.parametrize(
    ("cls", "chosen"),
    [
        (Identity, st.just({})),
        (BoxMask, st.fixed_dictionaries({"size": st.none() | st.integers(1, 128), "top": st.integers(0, 128)})),
        (GaussianBlur, st.fixed_dictionaries({"sigma": st.floats(1e-3, 30), "size": st.sampled_from([1, 7, 61])})),
        (Downsample, st.fixed_dictionaries({"factor": st.sampled_from([1, 2, 4, 8, 16])})),
    ],
)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_an_operator_is_read_back_as_written(cls, chosen, data):
    operator = cls(SHAPE, **data.draw(chosen))
    assert parse_operator(format_spec(operator), SHAPE) == operator


def test_arrays_have_no_text():
    for operator in (Mask((1, 2, 2)), Dense((1, 2, 2), torch.eye(4))):
        with pytest.raises(ValueError, match=f"{operator.name} holds an array.*{INSTEAD[operator.name][:20]}"):
            format_spec(operator)
    with pytest.raises(ValueError, match=r"give --mask FILE.*posteriori.Mask in Python \(at character 1 of 'mask'\)"):
        parse_operator("mask", SHAPE)
    with pytest.raises(ValueError, match=r"pass the matrix to posteriori\.Dense"):
        parse_operator("dense(matrix=3)", SHAPE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            f"expected a sampler: {', '.join(cls.name for cls in SAMPLERS[:-1])} or {SAMPLERS[-1].name}, got the end "
            "(at character 1 of '')",
        ),
        ("ddpm", "no sampler is called 'ddpm': there are ddim, ddrm, ddnm, dps, "),
        ("DPS", "no sampler is called 'DPS': there are dps, "),
        ("identity", "no sampler is called 'identity': "),
        ("dps(scal=1)", "dps has no field 'scal': it has scale, "),
        ("dps(0.3)", "dps has no field '0.3': it has scale, "),
        ("dps(base=ddim)", "dps has no field 'base': "),
        ("dps(", "this ( is never closed: give a ) at its end (at character 4 of 'dps(')"),
        ("dps(scale", "this ( is never closed: give a ) at its end (at character 4 of "),
        ("dps(scale)", "scale has no value: give scale=VALUE, a number (at character 5 of "),
        ("dps(scale: 1)", "expected NAME or NAME(FIELD=VALUE, ...), got 'scale: 1)' (at character 5 of "),
        ("dps(scale:1)", "dps has no field 'scale:1': it has scale, "),
        ("dps(scale==1)", "dps has no field 'scale==1': it has scale, "),
        ("dps(scale=", "this ( is never closed: give a ) at its end (at character 4 of "),
        ("dps(scale=)", "expected NAME or NAME(FIELD=VALUE, ...), got ')' (at character 11 of "),
        ("dps(scale=1", "this ( is never closed: give a ) at its end (at character 4 of "),
        ("dps(scale=1 2)", "expected NAME or NAME(FIELD=VALUE, ...), got '1 2)' (at character 11 of "),
        ("dps(scale=1))", "expected NAME or NAME(FIELD=VALUE, ...), got ')' (at character 13 of "),
        ("dps scale=1", "expected NAME or NAME(FIELD=VALUE, ...), got 'scale=1' (at character 5 of "),
        (" dps,ddim", "no sampler is called 'dps,ddim': there are "),
        ("dps()()", "no sampler is called 'dps()': there are dps, "),
        ("dps @ ddim", "no sampler is called 'dps @ ddim': there are "),
        ("sdedit(base=" * 300, "this ( is never closed"),
        ("(" * 90 + ")" * 90, "no sampler is called '()'"),
        ("dps(scale=1, scale=2)", "scale is given twice: give it once (at character 14 of "),
        ("dps(scale=abc)", "scale takes a number, got 'abc' (at character 11 of "),
        ("dps(scale=inf)", "scale takes a number, got 'inf'"),
        ("dps(scale=nan)", "scale takes a number, got 'nan'"),
        ("dps(scale=1e999)", "scale takes a number, got '1e999'"),
        ("dps(scale='1')", "scale takes a number, got \"'1'\""),
        ("dps(scale=true)", "scale takes a number, got 'true'"),
        ("dps(scale=ddim(eta=0))", "scale takes a number, got 'ddim(eta=0)' (at character 11 of "),
        ("dps(steps=1.5)", "steps takes a whole number, got '1.5' (at character 11 of "),
        (f"dps(steps={'9' * 5000})", "steps takes a whole number, got '999"),
        ("dps(steps=none)", "steps takes a whole number, got 'none'"),
        ("dps(clip=1)", "clip takes true or false, got '1' (at character 10 of "),
        ("dps(variance=none)", "variance takes auto, small, large or learned, got 'none'"),
        ("dps(variance='auto)", 'expected NAME or NAME(FIELD=VALUE, ...), got "\'auto)" (at character 14 of '),
        ("diffpir(lambda=1)", "diffpir has no field 'lambda': it has lambda_, "),
        ("sdedit(base=sdedit)", "no sampler for base is called 'sdedit': there are ddim, "),
        ("sdedit(base=ddim(eta=x))", "eta takes a number, got 'x' (at character 22 of "),
        ("dps(steps=0)", "steps is 0: give at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, message):
    with pytest.raises(ValueError, match=r"\A.+\Z") as error:
        parse_sampler(text)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bluur", "no operator is called 'bluur': there are blur, "),
        ("identity(size=3)", "identity has no field 'size': it has none"),
        ("box-mask(shape=3)", "box-mask has no field 'shape': it has "),
        ("box-mask(size=1.5)", "size takes a whole number or none, got '1.5'"),
        ("box-mask(size=300)", "a box of 300 pixels"),
        ("gaussian-blur(sigma=1e308, size=100000000000000000001)", "a blur that reaches 50000000000000000000 pixels"),
    ],
)
def test_wrong_operators(text, message):
    with pytest.raises(ValueError, match=r"\A.+\Z") as error:
        parse_operator(text, SHAPE)
    assert str(error.value).startswith(message)


WORDS = [*(cls.name for cls in CLASSES), *(f.name for cls in CLASSES for f in class_fields(cls))]
PIECES = ["(", ")", ",", "=", " ", "\n", "'", '"', "true", "none", "1", "-2.5e3", "1e999", "9" * 400, "auto"]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS + PIECES), max_size=12).map("".join)))
def test_any_text_is_read_or_refused_in_one_line(text):
    for parse in (parse_sampler, lambda text: parse_operator(text, (1, 8, 8))):
        try:
            parse(text)
        except ValueError as error:
            assert len(str(error).splitlines()) == 1, error  # noqa: PT017


@settings(max_examples=300, deadline=None)
@given(st.one_of(*map(built, SAMPLERS)), st.data())
def test_a_damaged_text_is_read_or_refused_in_one_line(sampler, data):
    text = format_spec(sampler)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 5))
    damaged = text[:at] + data.draw(st.text("()=,'\" a1.e-", max_size=3)) + text[at + cut :]
    try:
        parse_sampler(damaged)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1, error  # noqa: PT017


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_has_a_meaning_and_every_class_a_summary(cls):
    found = class_fields(cls)
    assert {f.name for f in found} == {f.name for f in fields(cls)} - {"shape"}
    assert all(f.meaning and accepts(f.type) for f in found)
    summary, paper = about(cls)
    assert summary.endswith(".")
    assert "``" not in summary + paper  # a reader of the listing sees no markup
    assert not summary.startswith(cls.__name__ + "(")  # a dataclass without a docstring has its signature
    if issubclass(cls, Sampler):
        assert paper


def test_several_samplers_by_name():
    assert read_samplers("dps, ddim") == [DDIM, DPS]
    assert read_samplers("all") == list(SAMPLERS)
    with pytest.raises(ValueError, match="no sampler is called 'dsp': there are dps"):
        read_samplers("ddim,dsp")


def test_what_is_to_be_found_in_a_picture():
    blur = read_operator("blur(kernel=auto:51, border=circular)")
    assert blur.unknown == Unknown(51)
    assert read_operator("blur(kernel=auto)").unknown == read_operator("gaussian-blur(sigma=auto)").unknown == Unknown()
    assert read_operator("gaussian-blur(sigma=2)").unknown is None
    assert read_operator("gaussian-blur(sigma=auto)").found(1.5).build((3, 32, 32)) == GaussianBlur((3, 32, 32), 1.5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "gaussian-blur(sigma=auto)",
            "is estimated from a picture by `posteriori restore FILE`: give sigma=VALUE here",
        ),
        ("gaussian-blur(size=auto)", r"give .* gaussian-blur\(sigma=auto\) \(at character 15 "),
        ("motion-blur(auto)", r"only a blur can be estimated from a picture: give blur\(kernel=auto\) for any kernel"),
        ("blur(auto:51)", r"give blur\(kernel=auto\)"),
        ("blur(kernel=auto:50)", "a side of 50: give an odd number of pixels, 5 or more"),
    ],
)
def test_what_cannot_be_found(text, problem):
    with pytest.raises(ValueError, match=problem):
        parse_operator(text, SHAPE)

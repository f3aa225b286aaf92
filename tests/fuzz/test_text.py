"""What is typed: operators, samplers, noises, numbers with units. Objects of absurd sizes are refused, not built."""

import re

import pytest
import torch
from hypothesis import strategies as st

from posteriori.cli.options import rows_of
from posteriori.images.fit import read_region
from posteriori.images.span import read_span
from posteriori.jobs.memory import read_size
from posteriori.likelihoods import NOISES
from posteriori.operators import OPERATORS
from posteriori.restore.budget import read_duration
from posteriori.samplers import SAMPLERS
from posteriori.settings.fields import class_fields
from posteriori.settings.noise import parse_noise, read_noise
from posteriori.settings.text import format_spec, parse_operator, parse_sampler, read_samplers
from posteriori.training.data import split_names
from tests.fuzz.contract import contract, fuzz

_VALUES = (
    *("0", "1", "2", "3", "-1", "0.5", "1.5", "1e-320", "1e308", "1e400", "nan", "inf", "-inf", "none", "true", "auto"),
    *("99999", "1000000007", "4294967296", "10000000000000000000000", "1" * 5000, "auto:51", "auto:9999", "'a b'"),
    *("'", '"', "k.npy", "my.py:A", "ddim", "ddim(eta=0)", "(", "\x00", "é", "\U0001f642", "\udcff", "0x10", "1_000"),
)
_ALPHABET = "()=,@'\" .:#-+_*/[]{}\\\n\tabe019é\x00"


def calls(*listed: type) -> st.SearchStrategy[str]:
    """Calls of the classes that are listed, with anything for some of their fields."""
    fields = {cls.name: [field.name for field in class_fields(cls)] or ["x"] for cls in listed}

    def call(name: str) -> st.SearchStrategy[str]:
        pair = st.tuples(st.sampled_from([*fields[name], "x"]), st.sampled_from(_VALUES)).map("=".join)
        return st.lists(pair, max_size=3).map(lambda given: f"{name}({','.join(given)})")

    return st.sampled_from(sorted(fields)).flatmap(call)


@st.composite
def typed(draw, *listed: type) -> str:
    """A call, a product of some, or one of them with characters changed; or any text."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.text(_ALPHABET, max_size=30))
    text = " @ ".join(draw(st.lists(calls(*listed), min_size=1, max_size=3 if draw(st.booleans()) else 1)))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text(_ALPHABET, max_size=2)) + text[at + draw(st.integers(0, 2)) :]
    return text


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


shapes = st.sampled_from([(3, 32, 32), (1, 9, 14), (3, 1, 1)])


@fuzz(text=typed(*OPERATORS), shape=shapes)
def test_operators(text, shape):
    with contract():
        operator = parse_operator(text, shape)
        y = operator(torch.zeros(1, *shape))
        assert y.shape[1:] == operator.measured_shape
        if not any("array" in str(field.type).lower() for part in [operator] for field in class_fields(type(part))):
            assert parse_operator(format_spec(operator), shape) == operator


@fuzz(text=typed(*SAMPLERS))
def test_samplers(text):
    with contract():
        sampler = parse_sampler(text)
        assert parse_sampler(format_spec(sampler)) == sampler


@fuzz(text=typed(*NOISES))
def test_noises(text):
    with contract():
        noise = read_noise(text)
        assert noise.level >= 0
        assert read_noise(format_spec(noise)) == noise


_UNITS = (
    "s",
    "m",
    "min",
    "h",
    "G",
    "GiB",
    "k",
    "T",
    "/255",
    "/0",
    "..",
    "..1",
    ",",
    ",0,1,1",
    "::",
    ":",
    " ",
    "all",
    "e5",
)
numbers = st.lists(st.sampled_from([*_VALUES, *_UNITS]), max_size=4).map("".join)
READERS = {
    "--region": read_region,
    "--range": read_span,
    "--max-memory": read_size,
    "--time": read_duration,
    "--batch": rows_of,
    "--noise": parse_noise,
    "--samplers": read_samplers,
    "--holdout": lambda text: split_names(["a", "b", "c"], text),
}


@pytest.mark.parametrize("option", READERS)
@fuzz(text=st.one_of(numbers, st.text(_ALPHABET, max_size=12), st.from_regex(r"\d{0,25}[.,:/]{0,2}\d{0,25}[smhGkT]?")))
def test_numbers(option, text):
    with contract():
        READERS[option](text)


def test_what_is_right_is_read():
    """Or everything could be refused."""
    for text in ("gaussian-blur(sigma=1.5)", "downsample(factor=2) @ gaussian-blur(sigma=1.5)", "jpeg(quality=30)"):
        assert re.split(r"\W", parse_operator(text, (3, 32, 32)).name)

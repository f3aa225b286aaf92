"""Weights: safetensors and pickles. A pickle that would run code is refused, and runs none."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import save

from posteriori.errors import PosterioriError
from posteriori.hub.load import convert_checkpoint, load_prior
from posteriori.hub.stored import read_weights
from tests.fuzz.contract import JUNK, contract, damaged, fuzz

STATE = {"conv.weight": torch.arange(12.0).reshape(3, 4), "conv.bias": torch.zeros(3, dtype=torch.float16)}
SAFE = [save(STATE, {"format": "pt"}), save({})]


def saved(value: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


PICKLES = [
    saved(STATE),
    saved(STATE, _use_new_zipfile_serialization=False),
    saved({"model": STATE, "step": 3}),
    saved([torch.zeros(2)]),
    pickle.dumps(STATE["conv.bias"].tolist()),
]


@st.composite
def headers(draw) -> bytes:
    """A sound safetensors around a header that promises anything."""
    sizes = st.sampled_from([0, 1, 3, -1, 48, 10**6, 2**40, 2**64, 10**30])
    tensor = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "BF16", "I8", "F8_E4M3", "C64", "Q4", 3]),
            "shape": st.lists(sizes, max_size=3),
            "data_offsets": st.lists(sizes, min_size=1, max_size=3),
        }
    )
    text = json.dumps(draw(st.dictionaries(st.sampled_from(["a", "b", "__metadata__"]), st.one_of(tensor, JUNK))))
    return len(text).to_bytes(8, "little") + text.encode() + draw(st.binary(max_size=64))


def read(name: str, data: bytes) -> None:
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, name)
        path.write_bytes(data)
        assert all(isinstance(value, torch.Tensor) for value in read_weights((path,)).values())


@fuzz(data=st.one_of(headers(), damaged(SAFE, first=200)))
def test_safetensors(data):
    read("a.safetensors", data)


@fuzz(data=damaged(PICKLES, first=1500))
def test_pickles(data):
    read("a.bin", data)


@fuzz(data=damaged(PICKLES, first=1500))
def test_checkpoints(data):
    read_checkpoint(data)


def read_checkpoint(data: bytes) -> None:
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "a.pt")
        path.write_bytes(data)
        flags = Path(folder, "flags.json")
        flags.write_text('{"image_size": 64, "num_head_channels": 32, "use_new_attention_order": false}')
        convert_checkpoint(path, Path(folder, "out"), flags)


#: what runs when it is unpickled, and the ways to name it
RUNS = (
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("subprocess", "check_output"),
    ("torch.hub", "load"),
    ("runpy", "run_path"),
    ("torch._utils", "os.system"),
    ("torch.serialization", "os.system"),
    ("numpy", "load"),
    ("pickle", "loads"),
)


def running(module: str, name: str, argument: str, protocol: int) -> bytes:
    """A pickle that calls ``module.name(argument)``, written by hand: nothing here imports it."""
    call = f"c{module}\n{name}\n".encode()
    if protocol >= 4:
        parts = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)]
        call = b"".join(parts) + b"\x93"
    text = b"X" + len(argument).to_bytes(4, "little") + argument.encode()
    return b"\x80" + bytes([protocol]) + call + text + b"\x85R."


def as_checkpoint(data: bytes, kind: str) -> bytes:
    if kind == "plain":
        return data
    if kind == "legacy":  # torch.save's older form: three pickles before that of the tensors
        first = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        return b"".join(first) + data + pickle.dumps([], 2)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["plain", "legacy", "zip"])
@fuzz(run=st.sampled_from(RUNS), protocol=st.integers(2, 5), change=st.binary(max_size=3), at=st.integers(0, 80))
def test_no_code_runs(kind, run, protocol, change, at):
    with TemporaryDirectory() as folder:
        argument = f"touch {folder}/ran" if run[1].endswith("system") else f"open('{folder}/ran', 'w')"
        data = running(*run, argument, protocol)
        data = data[:at] + change + data[at + len(change) :] if change else data
        for name in ("a.bin", "a.pt"):
            path = Path(folder, name)
            path.write_bytes(as_checkpoint(data, kind))
            with contract(), pytest.raises(PosterioriError):
                read_weights((path,)) if name == "a.bin" else load_prior(path)
        assert sorted(os.listdir(folder)) == ["a.bin", "a.pt"]


def test_the_pickles_of_that_test_would_run_code(tmp_path):
    """Or it would show nothing."""
    pickle.loads(running("os", "system", f"touch {tmp_path}/ran", 2))
    assert (tmp_path / "ran").exists()

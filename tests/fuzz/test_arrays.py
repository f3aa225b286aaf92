"""NumPy's files, masks and kernels."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from posteriori.arrays import Array, read_array
from posteriori.operators import Blur
from posteriori.restore.inputs import Source, load
from posteriori.restore.masks import MaskFile
from posteriori.settings.text import parse_operator
from tests.fuzz.contract import contract, damaged, fuzz
from tests.fuzz.test_pictures import COLOURS, ranges, saved


def npy(values: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, values, **options)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


_NUMBERS = np.linspace(-1, 1, 75).reshape(3, 5, 5)
NPY = [
    npy(_NUMBERS.astype(np.float32)),
    npy(np.asfortranarray(_NUMBERS), version=(2, 0)),
    npy(np.arange(75, dtype=np.uint8).reshape(3, 5, 5)),
    npy(np.array([_NUMBERS], np.float16)),
    npy(np.array(["a", "b"])),
    npy(np.array([object()]), allow_pickle=True),
]
NPZ = [npz(y=_NUMBERS), npz(a=_NUMBERS, b=_NUMBERS), npz()]
dtypes = st.sampled_from(["<f4", ">f8", "<f2", "|b1", "<i8", "<c8", "|O", "<U9", "<M8[ns]", "[('a','<f4')]", "<f16"])


@st.composite
def headers(draw) -> bytes:
    """A sound .npy around a header that promises anything."""
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 3, 5, -1, 10**6, 2**31, 2**63, 10**30]), max_size=5)))
    text = f"{{'descr': {draw(dtypes)!r}, 'fortran_order': {draw(st.booleans())}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + draw(st.binary(max_size=300))


arrays = st.one_of(headers(), damaged(NPY, first=128))


@fuzz(data=arrays, kinds=st.sampled_from(["f", "fiu", "biuf"]))
def test_arrays(data, kinds):
    with contract():
        assert read_array(data, "a.npy", kinds).dtype.kind in kinds


@fuzz(data=damaged(NPZ, first=2000))
def test_archives(data):
    with contract():
        assert read_array(data, "a.npz", "biuf").dtype.kind in "biuf"


def read_measurement(data: bytes, scale: str | None) -> None:
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "y.npy")
        path.write_bytes(data)
        x = load(Source(str(path), "y"), None, None, arrays=True, scale=scale).x
        assert x.isfinite().all()
        assert x.ndim >= 3


def read_kernel(data: bytes) -> None:
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "k.npy")
        path.write_bytes(data)
        kernel = Array(str(path))
        assert np.isfinite(kernel.values).all()
        assert parse_operator(f"blur(kernel={kernel})", (3, 16, 16)) == Blur((3, 16, 16), kernel)


@fuzz(data=arrays, scale=ranges)
def test_measurements(data, scale):
    read_measurement(data, scale)


@fuzz(data=arrays)
def test_kernels(data):
    read_kernel(data)


@pytest.mark.parametrize("invert", [False, True])
@fuzz(data=damaged([saved(COLOURS, "PNG"), saved(COLOURS.convert("RGBA"), "PNG"), saved(COLOURS, "GIF")], first=100))
def test_masks(invert, data):
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "mask.png")
        path.write_bytes(data)
        mask = MaskFile.read(str(path), invert=invert)
        assert set(np.unique(mask.pixels)) == {0, 255}


special = st.sampled_from([0.0, -0.0, 1e-45, 1e-38, 3e38, -3e38, 1e39, 1e308, np.nan, np.inf, -np.inf, 1.0])


@fuzz(values=st.lists(special, min_size=9, max_size=9), kind=st.sampled_from(["<f2", "<f4", "<f8"]), scale=ranges)
def test_numbers_that_are_no_common_ones(values, kind, scale):
    """Denormal, huge, infinite and no numbers, in measurements and in kernels."""
    with np.errstate(over="ignore"):
        numbers = np.array(values, kind).reshape(1, 3, 3)
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "y.npy")
        np.save(path, numbers)
        assert load(Source(str(path), "y"), None, None, arrays=True, scale=scale).x.isfinite().all()
    with TemporaryDirectory() as folder, contract():
        path = Path(folder, "k.npy")
        np.save(path, numbers[0])
        blur = parse_operator(f"blur(kernel={path})", (1, 8, 8))
        x = torch.ones(1, 1, 8, 8)
        assert blur(x).isfinite().all()

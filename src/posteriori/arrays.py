"""Arrays that settings name by a file, such as a blur's kernel: known by their content."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.images.files import read_bytes
from posteriori.images.picture import read_picture

#: how the names of NumPy arrays end
SUFFIXES = (".npy", ".npz")
_NAME = re.compile(r"(?P<file>.+?)(#(?P<digits>[0-9a-f]{16}))?", re.DOTALL)


class Array:
    """Numbers from Python or from a file: what numpy.save wrote, or a picture, whose greys are 0 to 1.

    ``values`` is float64 and read-only. The text of one from a file is ``FILE#0123456789abcdef``, with the first digits
    of its sha256, and is read again only of the same content. Equal where the numbers are.

    Raises OSError, or PosterioriError, one line: no array of finite numbers, or another file than the digits say.
    """

    def __init__(self, source: Array | str | Path | np.ndarray | Tensor):
        self._text = ""
        if isinstance(source, Array):
            self._text, values = source._text, source.values
        elif isinstance(source, str | Path):
            self._text, values = _read(str(source))
        else:
            values = source.detach().cpu().numpy() if isinstance(source, Tensor) else np.asarray(source)
            if values.dtype.kind not in "biuf":
                raise PosterioriError(f"the array holds {values.dtype}: give real numbers")
        if not np.isfinite(values).all():
            raise PosterioriError(f"{self._text.partition('#')[0] or 'the array'} holds NaN or infinity: give numbers")
        self.values = np.array(values, dtype=np.float64)
        self.values.flags.writeable = False

    def __str__(self) -> str:
        if not self._text:
            raise PosterioriError("an array has no text: save it with numpy.save, and give the file's name instead")
        return f"'{self._text}'" if re.search(r"[\s(),=\"@]", self._text) else self._text

    def __repr__(self) -> str:
        return f"Array({self._text or self.values.shape})"

    @cached_property
    def _key(self) -> tuple[tuple[int, ...], str]:
        return self.values.shape, hashlib.sha256(self.values.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _read(name: str) -> tuple[str, np.ndarray]:
    """(the name with its digits, what it holds)."""
    found = _NAME.fullmatch(name)
    assert found  # anything matches
    path = found["file"]
    data = read_bytes(path)
    digits = hashlib.sha256(data).hexdigest()[:16]
    if found["digits"] not in (None, digits):
        raise PosterioriError(
            f"{path} has changed: its sha256 begins with {digits}, that of the text with {name[-16:]}"
        )
    if path.lower().endswith(SUFFIXES):
        return f"{path}#{digits}", read_array(data, path, "biuf")
    return f"{path}#{digits}", read_picture(data, path).unit.mean(2)


def _member(archive: np.lib.npyio.NpzFile, path: str) -> np.ndarray:
    """The one array of an archive."""
    try:
        return archive[archive.files[0]]
    except Exception as error:  # a member is read only now
        raise PosterioriError(
            f"{path} is not an archive of numbers ({first_line(error)}): give what numpy.savez writes"
        ) from None


def read_array(data: bytes, path: str, kinds: str) -> np.ndarray:
    """The array that numpy.save wrote, of a dtype of these ``kinds``. PosterioriError, one line, where it is none."""
    if not data.startswith((b"\x93NUMPY", b"PK")):  # or numpy would advise to load it as a pickle
        raise PosterioriError(f"{path} is not a NumPy array: give what numpy.save writes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2 and of odd literals in the header
            array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # the header is parsed as Python, and its size allocated, before either is judged
        problem = "it holds Python objects" if "allow_pickle" in str(error) else first_line(error)
        raise PosterioriError(
            f"{path} is not a NumPy array of numbers ({problem}): give what numpy.save writes"
        ) from None
    if not isinstance(array, np.ndarray):
        if len(array.files) != 1:
            names = ", ".join(array.files) or "nothing"
            raise PosterioriError(f"{path} is an archive of {names}: give one with a single array")
        array = _member(array, path)
    if array.dtype.kind not in kinds:
        whole = ", or name the range of whole ones with --range, like 0..255" if array.dtype.kind in "iu" else ""
        raise PosterioriError(f"{path} holds {array.dtype}: give floating-point numbers on the [-1, 1] scale{whole}")
    return array

"""The readers of binary formats under a fuzzer that sees which of their lines an input reaches: ``make fuzz``.

``python -m tests.fuzz.guided SECONDS OUT [READER...]`` gives each reader so many seconds of the processor. What reached
new lines and what broke the contract stays in the folder OUT/READER; where anything broke it, the exit code is 1. Lines
are seen of Python alone, not of C and Rust.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import atheris
import numpy as np
import torch
import torch._weights_only_unpickler

with atheris.instrument_imports(include=["posteriori", "PIL", "pydicom", "nibabel", "tifffile", "safetensors"]):
    from tests.fuzz import test_arrays, test_pictures, test_weights
# of packages too large to be instrumented whole
for function in (
    *(np.load, np.lib.format.read_array, np.lib._format_impl._read_array_header),
    *(torch.load, torch.serialization._load, torch.serialization._legacy_load),
    torch._weights_only_unpickler.Unpickler.load,
):
    atheris.instrument_func(function)

Reader = tuple[Sequence[bytes], Callable[[bytes], None]]


def readers() -> dict[str, Reader]:
    """By name: sound files to begin with, and what is to read any."""
    seeds, endings = test_pictures.seeds(), [*test_pictures.PILLOW, *test_pictures.OTHERS]
    return {
        "npy": ([*test_arrays.NPY, *test_arrays.NPZ], test_arrays.read_kernel),
        "measurement": (test_arrays.NPY, partial(test_arrays.read_measurement, scale=None)),
        "safetensors": (test_weights.SAFE, partial(test_weights.read, "a.safetensors")),
        "bin": (test_weights.PICKLES, partial(test_weights.read, "a.bin")),
        "pt": (test_weights.PICKLES, test_weights.read_checkpoint),
        **{end[1:]: (seeds[end], partial(test_pictures.read, ending=end, given=None)) for end in endings},
    }


class Watched:
    """Reads inputs for ``seconds``, and keeps the first of every different error in ``out``: the search goes on."""

    def __init__(self, read: Callable[[bytes], None], seconds: float, out: Path):
        self.read, self.out, self.found = read, out, set()
        self.end = time.process_time() + seconds

    def __call__(self, data: bytes) -> None:
        if time.process_time() > self.end:
            os.kill(os.getpid(), signal.SIGUSR1)  # upon which libFuzzer prints its counts and ends
        try:
            self.read(data)
        except Exception as error:
            where = (type(error), str(traceback.extract_tb(error.__traceback__)[-3:]))
            if where not in self.found:
                self.found.add(where)
                (self.out / f"broke-{len(self.found)}").write_bytes(data)
                traceback.print_exception(error)


def search(name: str, seconds: float, out: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    seeds, read = readers()[name]
    corpus = out / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for i, data in enumerate(seeds):
        (corpus / f"sound-{i}").write_bytes(data)
    options = (f"-artifact_prefix={out}/", "-verbosity=0", "-print_final_stats=1")
    atheris.Setup([sys.argv[0], str(corpus), *options], Watched(read, seconds, out))
    atheris.Fuzz()


def main(seconds: str, out: str, *names: str) -> None:
    broken = []
    for name in names or readers():
        print(name, flush=True)
        if (child := os.fork()) == 0:
            search(name, float(seconds), Path(out, name))
        _, status = os.waitpid(child, 0)
        if status or list(Path(out, name).glob("broke-*")):
            broken.append(name)
    print(f"contract broken by: {', '.join(broken) or 'none'}")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main(*sys.argv[1:])

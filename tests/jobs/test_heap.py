"""Freed memory is used again by the command line's processes."""

import platform
import subprocess
import sys

import pytest

from posteriori.jobs import heap

FAULTS = """
import resource
from posteriori.jobs.heap import keep_freed
keep_freed()
def touched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"1") * 2**26
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
touched()
print(touched())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_the_pages_of_freed_memory_are_there_when_it_is_used_again():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100, "64 MiB are 16,384 pages"


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_user_has_set_stays(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: pytest.fail("the C library was asked"))
    heap.keep_freed()


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_another_c_library_is_left_as_it_is(monkeypatch, error):
    def refuses(_):
        raise error

    monkeypatch.setattr(heap.ctypes, "CDLL", refuses)
    heap.keep_freed()

"""Where results lie: in a folder or at any URL of fsspec's, each in a file that is whole or not there."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Generic, Protocol, TypeVar

import numpy as np
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from posteriori.files import atomic_path, first_line
from posteriori.jobs.key import Job

J = TypeVar("J", bound=Job, contravariant=True)
R = TypeVar("R", contravariant=True)

#: the folder, in that of a command, of results that people do not look at
RESULTS = ".jobs"

#: what files call ``Result.values``
_VALUES = "figures"

_DAMAGE = (OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


class Keeps(Protocol, Generic[J, R]):
    """What keeps results: ``Store``, or what makes of each result something for people to look at."""

    def done(self, job: J, /) -> bool:
        """Whether the job's result is there, whole."""
        ...

    def write(self, job: J, result: R, /) -> None:
        """Keeps a result, whole or not at all."""
        ...


@dataclass(frozen=True)
class Result:
    """What a job gave: ``values`` as JSON has them (NaN allowed), and ``arrays`` of numbers."""

    values: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class Files:
    """Files in the folder or at the URL ``where`` (memory://, s3://, ...): each is whole or not there."""

    def __init__(self, where: str | Path):
        self.where = str(where)
        remote = "://" in self.where
        if remote:  # without a memory of listings, which others add to
            self.fs, self.root = url_to_fs(self.where, use_listings_cache=False)
        else:
            self.fs, self.root = LocalFileSystem(), str(Path(where).absolute())
        self.local = isinstance(self.fs, LocalFileSystem)

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def has(self, name: str) -> bool:
        return self.fs.isfile(self.path(name))

    def names(self) -> list[str]:
        """What is there, hidden files aside."""
        there = self.fs.ls(self.root, detail=False) if self.fs.isdir(self.root) else []
        names = (path.rpartition("/")[2] for path in there)
        return sorted(name for name in names if not name.startswith("."))

    def put(self, name: str, write: Callable[[BinaryIO], object], *, sync: bool = True) -> None:
        """What ``write`` writes into a file becomes ``name``, and takes the place of what was there.

        ``sync`` is ``atomic_path``'s.
        """
        if self.local:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            with atomic_path(self.path(name), sync=sync) as temporary, temporary.open("wb") as file:
                write(file)
            return
        content = io.BytesIO()
        write(content)
        partial = self.path(f".{uuid.uuid4().hex}.tmp")  # not all of them write at once, but all of them rename
        self.fs.pipe_file(partial, content.getvalue())
        self.fs.mv(partial, self.path(name))

    def get(self, name: str) -> bytes:
        """Raises FileNotFoundError where it is not there."""
        return self.fs.cat_file(self.path(name))

    @contextmanager
    def folder(self) -> Generator[Path]:
        """A local folder for the files that a block writes, which are here in the end."""
        if self.local:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            yield Path(self.root)
            return
        with TemporaryDirectory() as own:
            yield Path(own)
            for path in filter(Path.is_file, Path(own).rglob("*")):
                self.put(path.relative_to(own).as_posix(), lambda file, path=path: file.write(path.read_bytes()))

    def remove(self, name: str) -> None:
        self.fs.rm_file(self.path(name))

    def rename(self, name: str, to: str) -> None:
        """Takes the place of what was there."""
        if self.local:
            Path(self.path(name)).replace(self.path(to))
        else:
            self.fs.mv(self.path(name), self.path(to))


class Store:
    """Results by their job's key. ``say`` is told of a damaged one, which is set aside and counts as not there."""

    def __init__(self, where: str | Path, say: Callable[[str], object] = lambda _: None):
        self.files, self.say = Files(where), say
        if any(not name.endswith((".npz", ".jsonl")) for name in self.files.names()):
            say(f"{where} holds results of an earlier version, which are not taken")

    def __reduce__(self):  # a process that works need not talk
        return type(self), (self.files.where,)

    def done(self, job: Job) -> bool:
        return self.read(job) is not None

    def read(self, job: Job) -> Result | None:
        """What ``job`` gave; None where it has not been done."""
        name = f"{job.key}.npz"
        try:
            with np.load(io.BytesIO(self.files.get(name)), allow_pickle=False) as found:
                about = json.loads(str(found["about"]))
                if about["settings"] != job.settings:
                    raise ValueError("it is another job's")
                return Result(about[_VALUES], {key: found[key] for key in found.files if key != "about"})
        except FileNotFoundError:
            return None
        except _DAMAGE as error:
            aside = f"{job.key}.damaged-{uuid.uuid4().hex[:4]}.npz"
            self.files.rename(name, aside)
            self.say(f"{self.files.path(name)} is damaged ({first_line(error)}): set aside as {aside}, and done again")
            return None

    def keep_only(self, jobs: Iterable[Job]) -> None:
        """Removes all results but those of ``jobs``."""
        for name in set(self.files.names()) - {f"{job.key}.npz" for job in jobs}:
            self.files.remove(name)

    def write(self, job: Job, result: Result) -> None:
        about = np.array(json.dumps({"settings": job.settings, _VALUES: result.values}))
        save: Any = np.savez_compressed
        # To wait for the disk takes 10 to 50 ms, longer than all else together. What a power cut damages is done again.
        self.files.put(f"{job.key}.npz", lambda file: save(file, about=about, **result.arrays), sync=False)

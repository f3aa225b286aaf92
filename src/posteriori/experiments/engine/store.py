"""Where runs lie: one folder a run, named by its settings, its manifest written last."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from posteriori.experiments.engine.plan import Run
from posteriori.experiments.engine.work import FIGURES, Group
from posteriori.files import atomic_path, read_json, write_json
from posteriori.runs.manifest import MANIFEST

#: every beginning, step and end of a group, by any process: a line of JSON each
LOG = "log.jsonl"


@dataclass(frozen=True)
class Result:
    """A finished run. ``calls`` are the network calls that restored one group; every row shared in them."""

    run: Run
    calls: int
    figures: dict[str, np.ndarray]
    files: tuple[Path, ...]

    def by_image(self, name: str) -> np.ndarray:
        """(images, seeds) of a figure."""
        return self.figures[name].reshape(-1, len(self.run.seeds))

    @cached_property
    def trace(self) -> dict[str, np.ndarray]:
        """t (S,), and (S, rows) of everything that was recorded; empty where a row diverged."""
        traces = [_arrays(file, "trace") for file in self.files]
        if not all(traces):
            return {}
        return {"t": traces[0]["t"]} | {
            name: np.concatenate([trace[name] for trace in traces], axis=1) for name in traces[0] if name != "t"
        }

    @cached_property
    def pictures(self) -> dict[str, np.ndarray]:
        """x and y (rows, H, W, 3) and path (F, 2, rows, H, W, 3), uint8, as far as they were kept."""
        kept = [_arrays(file, "pictures") for file in self.files]
        return {
            name: np.concatenate([arrays[name] for arrays in kept], axis=2 if name == "path" else 0) for name in kept[0]
        }


class Store:
    """The runs in ``folder``. ``say`` is told of what had to be set aside."""

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda _: None):
        self.folder = folder
        self.say = say
        self._whole: set[str] = set()

    def done(self, run: Run) -> set[int]:
        """The groups that are there. A damaged folder is set aside, and nothing of it is."""
        folder = self.folder / run.key
        if not folder.exists():
            return set()
        try:
            found = {i for i in range(len(run.groups)) if _file(folder, i).is_file()}
            for i in found:
                _check(_file(folder, i))
            if (folder / MANIFEST).is_file():
                manifest = read_json(folder / MANIFEST)
                if manifest["settings"] != run.settings or len(manifest["rows"]) != len(run.rows):
                    raise ValueError(f"{MANIFEST} is of another run")
                for i, entry in enumerate(manifest["groups"]):
                    if hashlib.sha256(_file(folder, i).read_bytes()).hexdigest() != entry["sha256"]:
                        raise ValueError(f"{_file(folder, i).name} is not what {MANIFEST} says")
                self._whole.add(run.key)
            return found
        except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            self._set_aside(folder, error)
            return set()

    def _set_aside(self, folder: Path, error: Exception) -> None:
        names = (f"{folder.name}.damaged{'' if i == 1 else f'-{i}'}" for i in count(1))
        aside = next(path for name in names if not (path := self.folder / name).exists())
        folder.rename(aside)
        self.say(f"{folder} is damaged ({str(error).splitlines()[0]}): set aside as {aside.name}, and run again")

    def write(self, run: Run, i: int, group: Group) -> None:
        """Keeps group ``i``, whole or not at all."""
        folder = self.folder / run.key
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"{kind}.{name}": value
            for kind in ("figures", "trace", "pictures")
            for name, value in getattr(group, kind).items()
        }
        with atomic_path(_file(folder, i)) as path:
            np.savez_compressed(path, allow_pickle=False, calls=np.array(group.calls), **arrays)

    def finish(self, run: Run, environment: dict[str, Any]) -> None:
        """Writes the manifest of a run whose groups are all there."""
        if run.key in self._whole:
            return
        folder = self.folder / run.key
        files = [_file(folder, i) for i in range(len(run.groups))]
        figures = [_arrays(file, "figures") for file in files]
        columns = {name: np.concatenate([f[name] for f in figures]).tolist() for name in FIGURES}
        labels = [label for label, _ in run.images] or [""]
        rows = [
            {"image": labels[i], "seed": seed, **{name: columns[name][k] for name in FIGURES}}
            for k, (i, seed) in enumerate(run.rows)
        ]
        groups = [
            {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "calls": _calls(file)}
            for file in files
        ]
        manifest = {"settings": run.settings, "environment": environment, "groups": groups, "rows": rows}
        write_json(manifest, folder / MANIFEST)
        self._whole.add(run.key)

    def read(self, run: Run) -> Result:
        """What a finished run gave, from its manifest."""
        folder = self.folder / run.key
        manifest = read_json(folder / MANIFEST)
        figures = {
            name: np.array([np.nan if row[name] is None else row[name] for row in manifest["rows"]]) for name in FIGURES
        }
        files = tuple(folder / entry["file"] for entry in manifest["groups"])
        return Result(run, manifest["groups"][0]["calls"], figures, files)

    def manifests(self, keys: Iterable[str]) -> dict[str, Any]:
        """The manifests of the runs of these keys."""
        return {key: read_json(self.folder / key / MANIFEST) for key in keys}

    def log(self, run: Run, i: int, event: str, calls: int, seconds: float) -> None:
        """Adds a line; one write, so that lines of several processes do not mix."""
        entry = {"run": run.key, "group": i, "event": event, "calls": calls, "seconds": round(seconds, 3)}
        line = json.dumps(entry | {"pid": os.getpid(), "time": round(time.time(), 1)}) + "\n"
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(line)

    def seconds(self, run: Run) -> float:
        """Wall time that the run's groups took, the last time that each was finished; NaN where it is not known."""
        took = {}
        for line in (self.folder / LOG).read_text("utf-8").splitlines() if (self.folder / LOG).is_file() else ():
            try:
                entry = json.loads(line)
            except ValueError:  # what a kill cut short
                continue
            if entry["event"] == "end" and entry["run"] == run.key:
                took[entry["group"]] = entry["seconds"]
        return sum(took.values()) if len(took) == len(run.groups) else np.nan


def _file(folder: Path, i: int) -> Path:
    return folder / f"group-{i:04d}.npz"


def _check(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        bad = archive.testzip()
    if bad:
        raise ValueError(f"{file.name} has a damaged {bad}")


def _arrays(file: Path, kind: str) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return {name.partition(".")[2]: arrays[name] for name in arrays.files if name.startswith(f"{kind}.")}


def _calls(file: Path) -> int:
    with np.load(file, allow_pickle=False) as arrays:
        return int(arrays["calls"])

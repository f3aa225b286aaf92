"""The page's sessions with their pictures and runs, and the queue: one task at a time on the device."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from posteriori.errors import PosterioriError, sentence
from posteriori.images.picture import BUNDLED
from posteriori.jobs.executor import Event
from posteriori.jobs.processes import Processes
from posteriori.web.tasks import Task, Warm, do

#: seconds after which a tab that was not used counts as closed
_STALE = 12 * 3600.0
#: seconds in which a file may be on its way to a tab that has just been opened
_FRESH = 60.0

#: what to do about a bug that the page shows
ADVICE = "the terminal of `posteriori serve` shows more"


@dataclass(frozen=True)
class Limits:
    """Limits of a page: ``pixels`` of a picture, ``bytes`` of a file, ``queue`` waiting runs, ``seconds`` of a run."""

    pixels: int
    bytes: int
    queue: int
    seconds: float


class Counter:
    """A queue: one worker, which stays loaded, does the tasks in the order in which they came. ``most`` may wait."""

    def __init__(self, most: int, seconds: float):
        self.most = most
        self._workers = Processes(1, seconds)
        self._line: list[Run] = []
        self._changed = threading.Condition()

    def place(self, run: Run) -> int:
        """How many are before it."""
        with self._changed:
            return self._line.index(run) if run in self._line else 0

    def join(self, run: Run) -> None:
        """Raises PosterioriError if too many wait already."""
        with self._changed:
            if len(self._line) > self.most:
                raise PosterioriError(f"{len(self._line)} others are waiting already: try again later")
            self._line.append(run)

    def leave(self, run: Run) -> None:
        with self._changed:
            self._line.remove(run)
            self._changed.notify_all()

    def wait(self, run: Run) -> None:
        """Waits until it is the run's turn, or it is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._line[0] is run or run.stopped)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def do(self, task: Task, report: Callable[[Event], None]) -> None:
        self._workers.run([task], do, report)


class Stopped(Exception):
    """Raised inside a run that was stopped."""


class Run:
    """The tasks of one request and their progress. They are done one after the other when their turn comes."""

    def __init__(self, counter: Counter, tasks: list[Task]):
        self.counter, self.tasks = counter, tasks
        self.state: Literal["waiting", "running", "done", "failed", "cancelled"] = "waiting"
        self.problem = ""
        self.index, self.done, self.note = 0, 0.0, ""
        self.began = self.moved = 0.0
        self.stopped = False
        self._pid = 0
        counter.join(self)
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        return self.state not in ("waiting", "running")

    @property
    def task(self) -> Task:
        """The task that is running, or the last one."""
        return self.tasks[min(self.index, len(self.tasks) - 1)]

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds left of the running task, from the time it took so far."""
        if self.state != "running" or not 0.02 < self.done <= 1:
            return None
        return (self.moved - self.began) * (1 - self.done) / self.done

    def join(self, seconds: float | None = None) -> Run:
        """Waits until it is over."""
        self._thread.join(seconds)
        return self

    def stop(self) -> None:
        """Stops it, and kills the worker that runs it."""
        self.stopped = True
        self.counter.wake()
        if self._pid and not self.over:
            os.kill(self._pid, signal.SIGKILL)  # nobody else reads its folder, which may be half written

    def _go(self) -> None:
        self.counter.wait(self)
        try:
            for self.index, task in enumerate(self.tasks):  # noqa: B020
                if self.stopped:
                    raise Stopped
                self.state, self.done, self.note, self.began = "running", 0.0, "", time.monotonic()
                self.counter.do(task, self._told)
            self.state = "done"
        except Exception as error:
            if not self.stopped:
                self.problem = sentence(error, ADVICE)
                if self.problem.startswith("a bug"):
                    print("".join(getattr(error, "__notes__", ())))
            self.state = "cancelled" if self.stopped else "failed"
        finally:
            self._pid = 0
            self.counter.leave(self)

    def _told(self, event: Event) -> None:
        self._pid = event.pid if event.kind in ("begin", "progress") else 0
        if event.kind == "begin":
            self.began = time.monotonic()
        if self.stopped:
            raise Stopped
        if event.kind == "failure" and not event.error:
            raise OSError(f"{event.note}: try again")
        self.done, self.note, self.moved = event.done, event.note, time.monotonic()


@dataclass
class Session:
    """A browser tab: its folder, the picture that was given in it, and its runs."""

    folder: Path
    #: the file of the picture, or None for a bundled one
    file: Path | None = None
    #: the picture's name on the command line
    picture: str = ""
    used: float = field(default_factory=time.monotonic)
    runs: list[Run] = field(default_factory=list)
    published: list[str] = field(default_factory=list)

    def new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    def working_folder(self, mask: bytes | None = None) -> Path:
        """A folder with the picture in it, and the mask."""
        folder = self.new_folder()
        if self.file:
            shutil.copy(self.file, folder / self.file.name)
        if mask is not None:
            (folder / "mask.png").write_bytes(mask)
        return folder

    def take(self, upload: Path) -> None:
        """The uploaded file becomes the picture."""
        folder = self.new_folder()
        self.file = folder / upload.name
        shutil.move(upload, self.file)
        plain = upload.name not in BUNDLED and not upload.name.startswith("-")
        self.picture = upload.name if plain else f"./{upload.name}"


class Desk:
    """Sessions by their hash, the queues for the device and for quick tasks, and the files that may be fetched."""

    def __init__(self, root: Path, limits: Limits):
        self.root, self.uploads, self.limits = root, root / "uploads", limits
        self.device = Counter(limits.queue, limits.seconds)
        self.quick = Counter(limits.queue, 120.0)
        self._sessions: dict[str, Session] = {}
        self._files: dict[str, Mapping[str, Path]] = {}
        self._lock = threading.Lock()

    def warm(self) -> None:
        """Starts the workers, so that nobody waits for them."""
        for counter in (self.quick, self.device):
            Run(counter, [Warm(str(self.root))])

    def session(self, key: str) -> Session:
        """The session of a tab, new if there is none. Closes sessions that have not been used for long."""
        now = time.monotonic()
        for old in [own for own, session in list(self._sessions.items()) if now - session.used > _STALE]:
            self.close(old)
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = Session(Path(tempfile.mkdtemp(dir=self.root)))
            self._sessions[key].used = now
            return self._sessions[key]

    def close(self, key: str) -> None:
        """Stops the runs of a closed tab, and removes its files."""
        with self._lock:
            session = self._sessions.pop(key, None)
        if session is None:
            return
        for run in session.runs:
            run.stop()
        for token in session.published:
            self._files.pop(token, None)
        for run in session.runs:
            run.join(10)
        shutil.rmtree(session.folder, ignore_errors=True)
        if not self._sessions:  # Gradio's copies of uploads and paintings do not say which tab they belong to
            for path in self.uploads.glob("*"):
                if time.time() - path.stat().st_mtime > _FRESH:
                    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def start(self, session: Session, counter: Counter, *tasks: Task) -> Run:
        """Starts a run of the session. Raises PosterioriError if too many wait."""
        session.runs = [run for run in session.runs if not run.over]
        run = Run(counter, list(tasks))
        session.runs.append(run)
        return run

    def publish(self, session: Session | None, files: Mapping[str, Path]) -> str:
        """The address below which ``files`` can be fetched by their names, until the session is closed."""
        token = secrets.token_urlsafe(16)
        self._files[token] = files
        if session:
            session.published.append(token)
        return f"made/{token}"

    def find(self, token: str, name: str) -> Path | None:
        """A published file. A name is looked up and never opened as a path."""
        return self._files.get(token, {}).get(name)

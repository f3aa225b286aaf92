"""Jobs shared among processes of this machine, none of which outlives the one that began them."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from typing import Any

from posteriori.jobs.executor import Do, Event, J, Report

#: seconds between two progress reports of a worker
_PULSE = 0.2


class Processes:
    """``n`` processes, begun as they are needed; each takes one job after the other.

    A worker that dies, or is at one job for more than ``timeout`` seconds and is killed for it, fails that job; the
    others go on, with another worker.
    """

    def __init__(self, n: int, timeout: float | None = None):
        self.n, self.timeout = n, timeout or math.inf

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None:
        queue, idle, busy = iter(jobs), [], []
        try:
            while True:
                while len(busy) < self.n and (job := next(queue, None)) is not None:
                    idle = [worker for worker in idle if worker.process.is_alive()]
                    worker = idle.pop() if idle else _Worker(do)
                    worker.give(job)
                    busy.append(worker)
                if not busy:
                    return
                ready = wait([worker.pipe for worker in busy], timeout=0.5)
                for worker in list(busy):
                    event = worker.heard() if worker.pipe in ready else worker.late(self.timeout)
                    if event is None:
                        continue
                    report(event)
                    if event.error:
                        raise event.error
                    if event.kind in ("end", "failure"):
                        busy.remove(worker)
                    if event.kind == "end":
                        idle.append(worker)
        finally:
            for worker in idle + busy:
                worker.process.kill()


class _Worker:
    """A process, the pipe to it, and what it is at."""

    def __init__(self, do: Do[Any]):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, do, os.getpid()), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: Any) -> None:
        self.job, self.began = job, math.inf
        self.pipe.send(job)

    def heard(self) -> Event:
        """What it says. Raises OSError where it could not even begin."""
        try:
            kind, done, note, error = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return self._fault(_death(self.process.exitcode))
        if kind == "begin":
            self.began = time.monotonic()
        seconds = time.monotonic() - self.began if kind == "end" else 0.0
        return Event(kind, self.job, done, note, seconds, self.process.pid or 0, error)

    def late(self, timeout: float) -> Event | None:
        """Its failure, where it has been at its job for longer than that."""
        if time.monotonic() - self.began <= timeout:
            return None
        self.process.kill()
        return self._fault(f"took longer than {timeout:g} seconds, and was stopped")

    def _fault(self, what: str) -> Event:
        if self.began == math.inf:
            raise OSError(f"a process to do {self.job.label} {what} before it began: are memory and processes left?")
        return Event("failure", self.job, note=f"{self.job.label} {what}", pid=self.process.pid or 0)


def _death(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "lost its process, which was killed (by the system, where memory was short)"
    return f"lost its process, which ended with {'signal' if code and code < 0 else 'code'} {abs(code or 0)}"


def _serve(pipe: Connection, do: Do[Any], parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops its workers
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        told = 0.0

        def tick(done: float, note: str) -> None:
            nonlocal told
            if (now := time.monotonic()) - told > _PULSE:
                told = now
                pipe.send(("progress", done, note, None))

        pipe.send(("begin", 0.0, "", None))
        try:
            do(job, tick)
        except Exception as error:
            pipe.send(("failure", 0.0, str(error), _portable(error)))
        else:
            pipe.send(("end", 1.0, "", None))


def _portable(error: Exception) -> Exception:
    """``error`` with its traceback as a note, or its text where it cannot be sent."""
    error.add_note(traceback.format_exc())
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)  # a killed parent cannot say so, and nobody would read the results

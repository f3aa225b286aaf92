"""Jobs shared among processes of this machine, none of which outlives the process that started them."""

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
from posteriori.jobs.faults import Fault
from posteriori.jobs.heap import keep_freed
from posteriori.jobs.threads import granted, settle, share

#: seconds between two progress reports of a worker
_PULSE = 0.2


class Processes:
    """``n`` processes (None: one per processor), started as needed, with one job at a time; they stay for later runs.

    They share the processors' threads, and sleep while they wait for them (``threads.py``). A worker that dies, or that
    is killed after ``timeout`` seconds on one job, fails that job; the others continue with another worker. One that
    dies between two jobs fails none.
    """

    def __init__(self, n: int | None = None, timeout: float | None = None):
        self.n, self.timeout = n or granted(), timeout or math.inf
        self._idle: list[_Worker] = []

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None:
        queue, busy = iter(jobs), []
        try:
            while True:
                while len(busy) < self.n and (job := next(queue, None)) is not None:
                    busy.append(self._given(do, job))
                if not busy:
                    return
                ready = wait([worker.pipe for worker in busy], timeout=0.5)
                for worker in list(busy):
                    event = worker.heard() if worker.pipe in ready else None
                    if event is None or event.kind == "progress":
                        event = worker.late(self.timeout) or event
                    if worker.left:
                        busy.remove(worker)
                        busy.append(self._given(do, worker.job))
                    if event is None:
                        continue
                    report(event)
                    if event.error and not event.fault:
                        raise event.error
                    if event.kind in ("end", "failure"):
                        busy.remove(worker)
                    if event.kind == "end" or event.error:
                        self._idle.append(worker)
        finally:
            for worker in busy:
                worker.process.kill()

    def _given(self, do: Do[J], job: J) -> _Worker:
        """A worker that has ``job``: an idle one, unless it has died since, or a new one."""
        while self._idle:
            worker = self._idle.pop()
            try:
                worker.give(do, job)
            except OSError:  # nobody is at the pipe's other end
                continue
            return worker
        worker = _Worker(share(self.n))
        worker.give(do, job)
        return worker


class _Worker:
    """A process, the pipe to it, and what it is at."""

    def __init__(self, threads: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, os.getpid(), threads), daemon=True)
        self.does: Do[Any] | None = None
        self.able = self.left = False  # has begun a job; has died since the end of its last one
        self.process.start()
        theirs.close()

    def give(self, do: Do[Any], job: Any) -> None:
        """Raises OSError where it is dead; it is killed where it cannot take the job."""
        self.job, self.began = job, math.inf
        try:
            self.pipe.send((None if do == self.does else do, job))  # what to do is large, and sent once
        except BaseException:
            self.process.kill()
            raise
        self.does = do

    def heard(self) -> Event | None:
        """What it says; None where it has ``left``. Raises OSError where it could not even begin its first job."""
        try:
            kind, done, note, error = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            self.left = self.able and self.began == math.inf
            return None if self.left else self._fault("lost", _death(self.process.exitcode))
        if kind == "begin":
            self.began, self.able = time.monotonic(), True
        seconds = time.monotonic() - self.began if kind == "end" else 0.0
        fault = error.kind if isinstance(error, Fault) else ""
        return Event(kind, self.job, done, note, seconds, self.process.pid or 0, error, fault)

    def late(self, timeout: float) -> Event | None:
        """Its failure, where it has been at its job for longer than that."""
        if time.monotonic() - self.began <= timeout:
            return None
        self.process.kill()
        return self._fault("time-out", f"took longer than {timeout:g} seconds, and was stopped")

    def _fault(self, kind: str, what: str) -> Event:
        if self.began == math.inf:
            raise OSError(f"a process to do {self.job.label} {what} before it started: are memory and processes left?")
        return Event("failure", self.job, note=f"{self.job.label} {what}", pid=self.process.pid or 0, fault=kind)


def _death(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "lost its process, which was killed (by the system, where memory was short)"
    return f"lost its process, which ended with {'signal' if code and code < 0 else 'code'} {abs(code or 0)}"


def _serve(pipe: Connection, parent: int, threads: int | None) -> None:
    keep_freed()
    settle(threads)  # now, because torch is imported with the first job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops its workers
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    do: Do[Any] | None = None
    while True:
        try:
            other, job = pipe.recv()
        except EOFError:
            return
        do, told = other or do, 0.0
        assert do

        def tick(done: float, note: str) -> None:
            nonlocal told
            if (now := time.monotonic()) - told > _PULSE:
                told = now
                pipe.send(("progress", done, note, None))

        pipe.send(("begin", 0.0, "", None))
        try:
            do(job, tick)
        except Exception as error:
            pipe.send(("failure", 0.0, str(error), portable(error)))
        else:
            pipe.send(("end", 1.0, "", None))


def portable(error: Exception) -> Exception:
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

"""Jobs on Ray: on this machine, or on the nodes of a cluster."""

from __future__ import annotations

import math
import os
import pickle
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from posteriori.errors import PosterioriError
from posteriori.files import first_line
from posteriori.jobs.executor import Do, Event, J, Report
from posteriori.jobs.faults import Fault
from posteriori.jobs.heap import keep_freed
from posteriori.jobs.processes import portable
from posteriori.jobs.threads import granted, settle

#: seconds between two looks at how far the workers are
_PULSE = 1.0
#: workers in a row that may die before their first job
_STILLBORN = 3


class Ray:
    """``n`` workers on Ray (None: as many as fit), which stay for the next ``run``.

    ``address`` is a cluster's: auto for the one that this machine belongs to, HOST:PORT, or ray://HOST:10001. None
    starts Ray on this machine alone. A worker takes ``threads`` CPUs (None: its share of them, 1 if ``n`` is None) and
    ``gpus`` of a GPU. It has one job at a time, and ``run`` asks for the next job when a worker is free: as many jobs
    are in progress as there are workers. Workers for which the cluster has no room yet join later. A worker that is
    lost, or spends more than ``timeout`` seconds on a job, fails that job, and is replaced. Raises PosterioriError if
    Ray is not installed, if there is no cluster, or if no node has room for a worker. ``run`` raises OSError if Ray's
    process on this machine dies, since no worker can then be reached.
    """

    def __init__(
        self,
        n: int | None = None,
        timeout: float | None = None,
        *,
        address: str | None = None,
        gpus: float = 0.0,
        threads: int | None = None,
    ):
        ray = self.ray = _ray(address, n)
        self._node = ray.get_runtime_context().get_node_id()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = [int(node.get("CPU", 0)) for node in nodes]
        share = max(1, min(sum(cpus) // n, max(cpus))) if n and not gpus else 1
        needs = {"CPU": threads or share, "GPU": gpus}
        room = sum(min(int(node.get(name, 0) // each) for name, each in needs.items() if each) for node in nodes)
        if not room:
            wanted = f"{needs['CPU']} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
            raise PosterioriError(
                f"no node of the cluster has {wanted} for a worker: give fewer --threads or --gpus-per-worker"
            )
        self.n, self.timeout = n or room, timeout or math.inf
        self._new = ray.remote(num_cpus=needs["CPU"], num_gpus=gpus, max_concurrency=2)(_Worker)
        self._coming: dict[Any, Any] = {}  # workers by what says that they are there
        self._idle: list[_Hand] = []
        self._stillborn = 0

    def run(self, jobs: Iterable[J], do: Do[J], report: Report) -> None:
        ray, queue, given = self.ray, iter(jobs), (self.ray.put(do),)
        busy: dict[Any, _Hand] = {}
        more, looked = True, time.monotonic()
        try:
            while True:
                while more and len(self._coming) + len(self._idle) + len(busy) < self.n:
                    worker = self._new.remote()
                    self._coming[worker.ready.remote()] = worker
                while self._idle and more:
                    job = next(queue, None)
                    if more := job is not None:
                        hand = self._idle.pop()
                        hand.job, hand.began = job, time.monotonic()
                        busy[hand.worker.work.remote(given, pickle.dumps(job))] = hand
                        report(Event("begin", job, pid=hand.pid))
                if not more and not busy:
                    return
                ready, _ = ray.wait([*busy, *self._coming], timeout=_PULSE / 2)
                for done in ready:
                    if done in self._coming:
                        self._join(done)
                        continue
                    hand = busy.pop(done)
                    event = self._heard(done, hand)
                    report(event)
                    if event.error and not event.fault:
                        raise event.error
                if time.monotonic() - looked > _PULSE:
                    looked = time.monotonic()
                    for done, hand in list(busy.items()):
                        if event := self._seen(hand):
                            report(event)
                            if event.kind == "failure":
                                del busy[done]
        finally:
            for hand in busy.values():
                ray.kill(hand.worker)

    def _join(self, ready: Any) -> None:
        """The worker that has come is idle; OSError where none lives to its first job."""
        worker = self._coming.pop(ready)
        try:
            self._idle.append(_Hand(worker, self.ray.get(ready)))
        except self.ray.exceptions.RayError as error:
            self._stillborn += 1
            if self._stillborn == _STILLBORN:
                raise OSError(
                    f"{_STILLBORN} workers of Ray died before they started: is posteriori installed on every node, "
                    f"with memory left? {_why(error)}"
                ) from None
        else:
            self._stillborn = 0

    def _heard(self, done: Any, hand: _Hand) -> Event:
        """What became of the job; the worker is idle again, or gone. OSError where this machine left the cluster."""
        try:
            kind, note, seconds, error = self.ray.get(done)
        except self.ray.exceptions.RayError as lost:
            if not any(node["Alive"] and node["NodeID"] == self._node for node in self.ray.nodes()):
                raise OSError(
                    "Ray's own process on this machine died: start it again with ray start, and run the same command "
                    "again; what was finished is kept"
                ) from None
            self.ray.kill(hand.worker)
            short = "running low on memory" in str(lost)
            what = "lost its worker, as its node was short of memory" if short else f"lost its worker ({_why(lost)})"
            return hand.fault("out of memory" if short else "lost", what)
        self._idle.append(hand)
        fault = error.kind if isinstance(error, Fault) else ""
        return Event(kind, hand.job, float(kind == "end"), note, seconds, hand.pid, error, fault)

    def _seen(self, hand: _Hand) -> Event | None:
        """Its progress since the last look, or its failure where it takes too long."""
        if time.monotonic() - hand.began > self.timeout:
            self.ray.kill(hand.worker)
            return hand.fault("time-out", f"took longer than {self.timeout:g} seconds, and was stopped")
        seen, hand.look = hand.look, hand.look or hand.worker.look.remote()
        if not seen or not self.ray.wait([seen], timeout=0)[0]:
            return None
        hand.look = None
        try:
            job, done, note = self.ray.get(seen)
        except self.ray.exceptions.RayError:  # which the job's own result says too
            return None
        return Event("progress", hand.job, done, note, pid=hand.pid) if job == hand.job.key else None


@dataclass
class _Hand:
    """A worker, its process, what it is at and since when, and a look at it that is not answered yet."""

    worker: Any
    pid: int
    job: Any = None
    began: float = 0.0
    look: Any = None

    def fault(self, kind: str, what: str) -> Event:
        return Event("failure", self.job, note=f"{self.job.label} {what}", pid=self.pid, fault=kind)


class _Worker:
    """The part that runs on a node: two threads, one for the job and one that reports its progress."""

    def __init__(self) -> None:
        settle()
        keep_freed()
        self.given: Any = None
        self.do: Do[Any] | None = None
        self.progress = ("", 0.0, "")

    def ready(self) -> int:
        return os.getpid()

    def look(self) -> tuple[str, float, str]:
        return self.progress

    def work(self, given: tuple[Any], sent: bytes) -> tuple[str, str, float, Exception | None]:
        """How it went, why not, and the seconds that it took; ``given`` refers to what to do, which comes once.

        And before the job, for that may need what came with it.
        """

        def tick(done: float, note: str) -> None:
            self.progress = (job.key, done, note)

        started = time.monotonic()
        try:
            if self.do is None or self.given != given:
                self.given, self.do = given, import_module("ray").get(given[0])
            job = pickle.loads(sent)
            self.do(job, tick)
        except Exception as error:
            return "failure", str(error), 0.0, portable(error)
        return "end", "", time.monotonic() - started, None


def _why(lost: Exception) -> str:
    """Ray's reason, without its advice and the names that it has for things."""
    return first_line(lost).removesuffix(".")


def _ray(address: str | None, n: int | None) -> Any:
    """Ray, connected."""
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise PosterioriError("Ray is not installed: pip install 'posteriori[cluster]'") from None
    if ray.is_initialized():
        return ray
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers
        ray.init("local", num_cpus=max(n or 0, granted()), **quiet)  # not what else runs here, or did
        return ray
    try:
        ray.init(address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise PosterioriError(
            f"there is no Ray cluster at {address} ({first_line(error)}): start one with ray start --head, or leave "
            "out --address for this machine alone"
        ) from None
    return ray

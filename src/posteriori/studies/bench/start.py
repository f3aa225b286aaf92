"""How long a command takes to start: ``--help``, and one step of ``restore``, each in a new process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from posteriori.jobs.executor import Tick
from posteriori.jobs.store import Result
from posteriori.studies.bench.clock import Timing, seconds

_RESTORE = ("restore", "astronaut", "--prior", "faces-64", "--operator", "gaussian-blur(sigma=1.5)", "--sampler",
            "dps", "--steps", "1", "--simulate", "--fit", "resize", "--quiet")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Start(Timing):
    """Wall-clock seconds of help and restore, medians of ``rounds``.

    A round before these lets Python compile the sources, since those of an installed package are compiled.
    """

    rounds: int = 3

    @property
    def label(self) -> str:
        return "cold starts"

    def measure(self, tick: Tick) -> Result:
        helps, restores = [], []
        for i in range(self.rounds + 1):
            tick(i / (self.rounds + 1), f"round {i} of {self.rounds}")
            helps.append(_seconds("--help"))
            with tempfile.TemporaryDirectory() as folder:
                restores.append(_seconds(*_RESTORE, "--out", folder))
        return Result({"help": statistics.median(helps[1:]), "restore": statistics.median(restores[1:])})


def _seconds(*arguments: str) -> float:
    command = [sys.executable, "-c", "from posteriori.cli import main; main()", *arguments]
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return seconds(lambda: subprocess.run(command, capture_output=True, check=True, env=settings), alone=False)

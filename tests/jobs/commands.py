"""Commands that are killed, small enough for it: what a process of their own does. See test_killed.py."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d import UNet2DModel  # noqa: F401
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler  # noqa: F401

import posteriori.cli.experiment as experiment
import posteriori.studies.report.experiment as reproduction
import posteriori.studies.report.page as page
from posteriori.cli import main
from posteriori.jobs.executors import Serial
from posteriori.metrics import lpips
from posteriori.settings import presets
from posteriori.studies.engine.execute import Loader
from posteriori.studies.report.plan import Scope
from posteriori.studies.verification import plan
from posteriori.studies.verification.grid import Grid
from posteriori.training.run import TrainingRun

lpips(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32))  # with its weights, for all that are forked from here


def report(prior, out):
    """The report's runs and tables, without its page and figures, which are made of them."""
    reproduction._SAMPLE_STEPS, page.draw, page.write_page = 2, lambda *_: {}, lambda *_, **__: None
    page._sections = lambda *_: []
    scope = Scope(reported=4, tuning=2, steps=2, ladder=(2,), ddim=2, fewer=2)
    with experiment.campaign(Path(out), Loader(prior, threads=1), 8, Serial(), True) as run:
        page.write(reproduction.reproduce(run, None, scope, (0,)), Path(out), command=["report"])


def command(words, folder, kill, after, counted):
    """Runs ``words`` in ``folder``, until just before, or ``after``, the ``kill``-th time that a file gets its name.

    The file ``counted`` gets the number of times. The clock ticks once each time that it is looked at.
    """
    os.chdir(folder)
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    sys.stdout = sys.stderr = Path(counted).with_suffix(".txt").open("w")
    torch.set_num_threads(1)
    ticks, times = itertools.count(), itertools.count(1)
    time.perf_counter = time.process_time = lambda: float(next(ticks))
    times_so_far = 0

    def counting(move):
        def moved(*arguments):
            nonlocal times_so_far
            times_so_far = next(times)
            if times_so_far == kill and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            move(*arguments)
            if times_so_far == kill:
                os.kill(os.getpid(), signal.SIGKILL)

        return moved

    os.replace, os.rename = counting(os.replace), counting(os.rename)
    problem = Grid(n=50, d=8, d_y=1)
    plan.QUICK = plan.Scope(((problem, 2),), (2,), problem)
    TrainingRun.log_every, presets.DEFAULT_STEPS = 3, 4
    code = 0
    if words[0] == "report":
        report(*words[1:])
    else:
        sys.argv = ["posteriori", *words]
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code
    sys.stderr.flush()
    Path(counted).write_text(str(times_so_far))
    os._exit(code)

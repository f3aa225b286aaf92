"""The tasks of the page's workers, each in a folder of its own. Pictures are opened nowhere else."""

from __future__ import annotations

import io
import time
from abc import abstractmethod
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from posteriori.arrays import SUFFIXES as ARRAYS
from posteriori.arrays import read_array
from posteriori.diagnosis.picture import diagnose
from posteriori.errors import PosterioriError
from posteriori.files import atomic_path, write_json
from posteriori.gradients import value_and_gradient
from posteriori.hub.load import load_prior
from posteriori.images.files import load_image, read_bytes, to_uint8
from posteriori.images.picture import unwarned
from posteriori.jobs.executor import Event, Tick
from posteriori.jobs.key import Job
from posteriori.jobs.lock import claimed_folder
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.observers import ShownResidual, Trajectory
from posteriori.restore.budget import seconds_of_a_picture
from posteriori.restore.entry import Case
from posteriori.restore.inputs import Source, load
from posteriori.restore.looking import look
from posteriori.restore.plans import plans
from posteriori.restore.request import Request
from posteriori.restore.restoration import Restoration
from posteriori.restore.run import restore
from posteriori.restore.summary import Outcome, write_summary
from posteriori.restore.work import Batch
from posteriori.sampler import State
from posteriori.settings.presets import resolve
from posteriori.settings.text import read_operator, read_sampler

#: where a restoration is written, in the folder of its task, and on the command line shown
OUT = "restored"
#: the largest side of a preview, in pixels
SHOWN = 768
#: seconds between two pictures of the estimate
_PULSE = 1.0
#: steps of a run to learn from
LEARN_STEPS = 100
#: every so many of them are shown
_EVERY = 4

#: what tasks leave in their folders
LOOKED, CONSIDERED, LIVE, LEARNT = ".looked.json", ".considered.json", ".live.json", ".learnt.json"
PREVIEW, ESTIMATE, FRAMES = ".preview.png", ".estimate.webp", "learn.png"


@dataclass(frozen=True)
class Task(Job):
    """Something to do in ``folder``, which is then the working directory."""

    folder: str

    @abstractmethod
    def do(self, tick: Tick) -> None: ...


def do(task: Task, tick: Tick) -> None:
    """Does a task in its folder."""
    with chdir(task.folder):
        task.do(tick)


@dataclass(frozen=True)
class Warm(Task):
    """Imports and loads what the other tasks need."""

    label = "a worker"

    def do(self, tick: Tick) -> None:
        load_prior("faces-64")


@dataclass(frozen=True)
class Look(Task):
    """Makes a preview of the file ``name``, and a diagnosis. Raises PosterioriError if it has over ``most`` pixels.

    A measurement that is no picture has no preview.
    """

    name: str
    most: int

    @property
    def label(self) -> str:
        return self.name

    def do(self, tick: Tick) -> None:
        data = read_bytes(self.name)
        if self.name.lower().endswith(ARRAYS):
            shape = read_array(data, self.name, "fiu").shape
            write_json({"about": f"a measurement of shape {shape}", "lines": [], "size": None}, LOOKED)
            return
        self._check(data)
        loaded = load(Source(self.name, self.name), None, None, arrays=True)
        height, width = loaded.size
        if height * width > self.most:
            raise PosterioriError(self._too_many(width, height))
        picture = Image.fromarray(to_uint8(loaded.x))
        picture.thumbnail((SHOWN, SHOWN))
        picture.save(PREVIEW)
        notes = "".join(f"; {note}" for note in loaded.about["notes"])
        found = diagnose(loaded.x, data, self.name).lines
        write_json({"about": f"{width} x {height} pixels{notes}", "lines": found, "size": [height, width]}, LOOKED)

    def _check(self, data: bytes) -> None:
        """Checks the size by the header, if Pillow can read it, so that too many pixels are not decoded."""
        try:
            with unwarned(), Image.open(io.BytesIO(data)) as picture:
                width, height = picture.size
        except Exception:  # decoders raise nearly anything on damaged data
            return
        if width * height > self.most:
            raise PosterioriError(self._too_many(width, height))

    def _too_many(self, width: int, height: int) -> str:
        return (
            f"{self.name} has {width} x {height} pixels, and this page takes {self.most / 1e6:g} million: crop "
            "it, or use the command line"
        )


@dataclass(frozen=True)
class Consider(Task):
    """Finds out what ``request`` will do and how long that will take."""

    request: Request
    label = "the estimate"

    def do(self, tick: Tick) -> None:
        restoration, sources = _planned(self.request)
        case = restoration.case(sources[0])
        seconds = seconds_of_a_picture(restoration, case)
        write_json({"lines": restoration.describe(case), "seconds": seconds}, CONSIDERED)


@dataclass(frozen=True)
class Restore(Task):
    """The restoration that the command line would do here."""

    request: Request

    @property
    def label(self) -> str:
        return self.request.files[0]

    def do(self, tick: Tick) -> None:
        restoration, sources = _planned(self.request)
        live, out = _Live(), Path(OUT)

        def report(event: Event) -> None:
            if event.kind == "progress":
                tick(event.done, event.note)

        def told(outcome: Outcome) -> None:
            if outcome.error:
                raise outcome.error

        def announce(restoration: Restoration, case: Case) -> None:
            live.lines, live.steps = restoration.describe(case), restoration.steps

        with claimed_folder(out):
            restore(
                [(restoration, sources)],
                out,
                overwrite=False,
                announce=announce,
                report=report,
                told=told,
                say=live.say,
                watch=live,
            )
            write_summary(out)


def _planned(request: Request) -> Any:
    """The one plan of a request for one picture."""
    planned, failed = plans(request, Path(OUT), lambda source: look(source, Path(OUT), request.range)[0])
    for outcome in failed:
        assert outcome.error
        raise outcome.error
    return planned[0]


class _Live:
    """Writes a restoration's progress and its estimate into the folder every second."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.steps = self.step = 0
        self.residual = ShownResidual()
        self.curve: list[tuple[int, float]] = []
        self._due = 0.0

    def say(self, text: str) -> None:
        self.said.append(text)

    def __call__(self, batch: Batch, state: State | None) -> None:
        self.step += 1
        if state is None:
            return
        value = self.residual(state)
        if value is not None:
            self.curve.append((self.step, value))
        if time.monotonic() < self._due:
            return
        case, x0 = batch.cases[0], state.x if state.x0 is None else state.x0
        picture = Image.fromarray(to_uint8(case.window(case.shade(x0[:1].cpu()))))
        picture.thumbnail((SHOWN, SHOWN))
        with atomic_path(ESTIMATE) as temporary:
            picture.save(temporary, "WEBP", quality=90)
        about = {"lines": self.lines, "said": self.said, "step": self.step, "steps": self.steps, "curve": self.curve}
        write_json(about, LIVE)
        self._due = time.monotonic() + _PULSE


@dataclass(frozen=True)
class Learn(Task):
    """x_t, x0hat, residual and gradient along the path of ``sampler`` on the bundled ``picture``, with faces-64."""

    picture: str
    operator: str
    sampler: str
    sigma: float
    seed: int
    label = "the steps"

    def do(self, tick: Tick) -> None:
        prior = load_prior("faces-64")
        x = load_image(self.picture, size=prior.shape[-1])
        operator = read_operator(self.operator).build(prior.shape)
        like = Gaussian.simulate(x, operator, sigma=self.sigma, seed=self.seed)
        cls = read_sampler(self.sampler).cls
        sampler = resolve(cls, operator, prior, sigma=self.sigma, steps=LEARN_STEPS).sampler
        path = Trajectory()

        def told(state: State, step: int, steps: int, rows: slice) -> None:
            tick(0.7 * step / steps, "")

        sample(prior, like, sampler, seed=self.seed, callbacks=[path, told], progress=False)
        frames, rows = [], []
        shown = [k for k in range(0, len(path.x) - 1, _EVERY) if path.levels[k].sigma]
        for i, k in enumerate(shown):
            x_t, level = path.x[k], path.levels[k]
            denoised, vjp = prior.linearise(x_t, level, clip=True)
            residual, towards = value_and_gradient(lambda x0: like.misfit(x0).norm(dim=1), denoised.x0)
            g = vjp(towards)
            r = like.y - operator(denoised.x0)
            frames.append([x_t, denoised.x0, _signed(r), _signed(g)])
            rows.append({"t": level.t, "sigma": level.sigma, "residual": residual.item(), "gradient": g.norm().item()})
            tick(0.7 + 0.3 * (i + 1) / len(shown), "")
        _save_frames(frames, Path(FRAMES))
        write_json({"rows": rows, "side": prior.shape[-1], "panels": 4}, LEARNT)


def _signed(z: Tensor) -> Tensor:
    """``z`` around grey, its largest entry black or white."""
    return z / z.abs().max().clamp(min=torch.finfo(z.dtype).tiny)


def _save_frames(frames: list[list[Tensor]], path: Path) -> None:
    """A picture with a frame to each row, its panels side by side."""
    rows = [torch.cat([panel.clamp(-1, 1) for panel in frame], dim=-1) for frame in frames]
    Image.fromarray(to_uint8(torch.cat(rows, dim=-2))).save(path)

"""One training run as one folder: checkpoint, logs, sheets, and the prior so far."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posteriori.errors import PosterioriError
from posteriori.files import atomic_path, writable_folder
from posteriori.hub.contents import CARD
from posteriori.hub.folder import save_folder
from posteriori.images.pixels import from_bytes
from posteriori.training.card import model_card
from posteriori.training.config import TrainConfig
from posteriori.training.data import Dataset, list_names, load_images, load_whole, split_names
from posteriori.training.distributed import ALONE, Ranks
from posteriori.training.evaluate import SIGMAS, denoising_psnr, ema_prior, sample_sheet
from posteriori.training.loop import DamagedCheckpoint, Trainer, TrainStep, previous

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

#: pixels are decoded at twice the training size, so that random crops are always reduced
OVERSAMPLING = 2


class TrainingRun:
    """Trains on ``data`` (folder or zip) in ``out``. A stopped run is resumed exactly.

    ``out`` gets checkpoint.pt and the one before it, config.json, loss.csv (a row every ``log_every`` steps),
    heldout.csv and samples/ (every ``evaluate_every`` images; see ``evaluate``), and prior/: a diffusers folder of the
    moving average with its model card. ``resumed`` is the checkpoint that the run continues from, ``damaged`` what is
    wrong with pictures that are left out, ``stopped`` the signal that stopped this process. With several ``ranks`` only
    the first writes, and all stop after the same step.
    """

    log_every = 50
    held_out_used = 32

    def __init__(
        self,
        data: Path,
        out: Path,
        config: TrainConfig,
        *,
        device: str = "cpu",
        dtype: str = "auto",
        compile: bool = False,
        licence: str = "not recorded",
        evaluate_every: int = 16_000,
        checkpoint_every: float = 120.0,
        tensorboard: bool = False,
        ranks: Ranks = ALONE,
    ):
        ranks.rows(config.batch_size)  # raises what Trainer would, before pictures are decoded
        names, held_out = split_names(list_names(data), config.holdout)
        if not names:
            raise PosterioriError(
                f"holdout {config.holdout!r} leaves no image of {data} to train on: give another slice"
            )
        board = _tensorboard(out) if tensorboard and ranks.first else None
        self.data, self.out = data, writable_folder(out)
        self.config = config
        self.ranks = ranks
        self.licence = licence
        self.evaluate_every = evaluate_every
        self.checkpoint_every = checkpoint_every
        self.checkpoint = out / "checkpoint.pt"
        images = load(data, names, config, OVERSAMPLING)
        self.trainer = Trainer(config, images, device, dtype=dtype, compile=compile, ranks=ranks)
        self.damaged, self.images = images.damaged, (len(images), len(held_out))
        self.resumed = self._resume()
        self.stopped: int | None = None
        if not ranks.first:
            return
        self.held_out = load(data, held_out[: self.held_out_used], config)
        self.damaged = [*self.damaged, *self.held_out.damaged]
        self.images = len(images), len(held_out) - len(self.held_out.damaged)
        with atomic_path(out / "config.json") as path:
            path.write_text(json.dumps(config.to_json(), indent=2) + "\n")
        step, psnr = self.trainer.step, [f"psnr_sigma_{s:g}" for s in SIGMAS]
        self._loss_log = _Log(out / "loss.csv", [f.name for f in fields(TrainStep)], step, board)
        self._heldout_log = _Log(out / "heldout.csv", ["step", *psnr], step, board)

    def _resume(self) -> Path | None:
        """Loads the newest checkpoint that is intact, if there is one."""
        there = [path for path in (self.checkpoint, previous(self.checkpoint)) if path.exists()]
        for path in there:
            try:
                self.trainer.load(path)
                return path
            except DamagedCheckpoint:
                if path == there[-1]:
                    raise
        return None

    def __iter__(self) -> Iterator[TrainStep]:
        """Trains; yields after every step. Ctrl-C and SIGTERM stop after the step at hand, with a checkpoint.

        Pressed again, Ctrl-C does not wait for it.
        """
        trainer, saved = self.trainer, time.monotonic()
        evaluated = None
        with _stop_requests() as stop:
            # asked before anything is written, and so after every process has read its checkpoint
            while not (stopping := self.ranks.any(bool(stop))) and trainer.step < self.config.steps:
                step = trainer.advance()
                if self.ranks.first:
                    if trainer.step % self.log_every == 0:
                        self._loss_log.write(_mean(trainer.recent))
                        trainer.recent.clear()
                    seen, batch = trainer.step * self.config.batch_size, self.config.batch_size
                    if seen // self.evaluate_every > (seen - batch) // self.evaluate_every:
                        self.evaluate()
                        evaluated = trainer.step
                    if time.monotonic() - saved > self.checkpoint_every:
                        trainer.save(self.checkpoint)
                        saved = time.monotonic()
                yield step
        self.stopped = stop[0] if stop else None
        if not self.ranks.first:
            return
        trainer.save(self.checkpoint)
        if stopping:
            self.export()
        elif evaluated != trainer.step:
            self.evaluate()

    def evaluate(self) -> None:
        """Held-out PSNR, the prior folder and a sheet of samples, from the moving average.

        There is no sheet if the network learns only some of the noise levels.
        """
        self.export()
        prior = ema_prior(self.trainer)
        if self.held_out.names:
            psnr = denoising_psnr(prior, map(from_bytes, self.held_out.pixels))
            self._heldout_log.write(
                {"step": self.trainer.step} | {f"psnr_sigma_{sigma:g}": value for sigma, value in psnr.items()}
            )
            with atomic_path(self.out / "prior" / CARD) as path:
                path.write_text(self._card(), "utf-8")
        if not self.config.all_levels:
            return
        (self.out / "samples").mkdir(exist_ok=True)
        sample_sheet(prior, self.out / "samples" / f"{self.trainer.step:07d}.png")

    def export(self) -> None:
        """The moving average so far as the folder prior/, with its model card."""
        save_folder(
            self.out / "prior",
            self.trainer.ema,
            self.trainer.schedule,
            prediction=self.config.prediction,
            size=self.config.size,
            name=self.out.name,
            licence=self.licence,
            card=self._card(),
            overwrite=True,
        )

    def _card(self) -> str:
        trainer = self.trainer
        return model_card(
            self.out.name,
            self.config,
            data=self.data.name,
            licence=self.licence,
            images=self.images,
            parameters=sum(p.numel() for p in trainer.ema.parameters()),
            step=trainer.step,
            device=trainer.device,
            processes=self.ranks.count,
            held_out=self._heldout_log.last,
        )


def load(data: Path, names: list[str], config: TrainConfig, oversampling: int = 1) -> Dataset:
    """The pictures as ``config.crop`` needs them: whole, or squares of ``oversampling`` times the training size.

    A few damaged ones are left out.
    """
    if config.crop == "random":
        return load_whole(data, names, config.size, config.stride, tolerant=True)
    return load_images(data, names, oversampling * config.size, tolerant=True)


class _Log:
    """A CSV file that is appended to, and TensorBoard's scalars beside it.

    Rows beyond the step that a run resumes from are dropped, and so are damaged ones. ``last`` is the newest row.
    """

    def __init__(self, path: Path, columns: list[str], step: int, board: SummaryWriter | None):
        self.path, self.columns, self.board = path, columns, board
        rows = []
        if path.exists():
            with path.open(newline="", errors="replace") as file:
                whole = [row for row in csv.DictReader(file) if row.keys() == set(columns) and None not in row.values()]
            rows = [row for row in whole if row["step"].isdecimal() and int(row["step"]) <= step]
        self.last: dict[str, Any] | None = rows[-1] if rows else None
        with atomic_path(path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    def write(self, row: dict[str, Any]) -> None:
        self.last = row
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(
                {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
            )
        if self.board:
            for name in self.columns[1:]:
                self.board.add_scalar(f"{self.path.stem}/{name}", row[name], row["step"])
            self.board.flush()


def _tensorboard(out: Path) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise PosterioriError("tensorboard is not installed: pip install 'posteriori[train]'") from None
    return SummaryWriter(str(out / "tensorboard"))


def _mean(steps: list[TrainStep]) -> dict[str, float]:
    last = steps[-1]
    mean = {name: sum(getattr(s, name) for s in steps) / len(steps) for name in ("loss", "grad_norm", "seconds")}
    return {"step": last.step, "learning_rate": last.learning_rate, **mean}


@contextmanager
def _stop_requests() -> Generator[list[int]]:
    """Collects SIGINT and SIGTERM in a list instead of acting on them in the middle of a step; a second SIGINT acts."""
    received: list[int] = []

    def hear(number: int, _: object) -> None:
        if number == signal.SIGINT and number in received:
            raise KeyboardInterrupt
        received.append(number)

    previous = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

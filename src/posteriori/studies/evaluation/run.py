"""How good a prior is: held-out denoising, how far its samples are from real pictures, and whether it memorised any."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress

from posteriori import __version__
from posteriori.files import atomic_path, read_json, write_json
from posteriori.hub.folder import record_shift
from posteriori.images.pixels import from_bytes, to_bytes
from posteriori.images.sheets import sheet
from posteriori.jobs.progress import added
from posteriori.jobs.run import missing
from posteriori.jobs.store import RESULTS, Store
from posteriori.metrics import pooled_features
from posteriori.priors.base import Prior
from posteriori.restore.manifest import arithmetic, versions
from posteriori.restore.unconditional import draw
from posteriori.samplers import DDIM
from posteriori.settings.text import format_spec
from posteriori.studies.evaluation.data import read_data
from posteriori.studies.evaluation.denoising import (
    SHIFT,
    About,
    bm3d,
    denoising,
    network_call,
    noise_levels,
    psnr_table,
    shifts,
)
from posteriori.studies.evaluation.likeness import Advance, kernel_distances, memorisation
from posteriori.studies.evaluation.result import STEPS, Evaluation, Request, Shift, markdown

#: samples on the sheet
SHEET = 100
RESULT, LOG, SHIFTS = "evaluation.json", "denoising.json", "shifts.json"


def evaluate(
    prior: Prior,
    request: Request,
    out: Path,
    *,
    record: dict[str, Any],
    overwrite: bool,
    progress: Progress,
) -> Evaluation:
    """Evaluates ``prior``. ``record`` is its ``prior_record``; ``progress`` has the column ``jobs.progress.NOTE``.

    ``out`` gets denoising.json and shifts.json (every picture's PSNR and shift), samples/, samples.png, nearest.png,
    evaluation.json and evaluation.md; an interrupted evaluation resumes from these. If the prior is a folder, the range
    of the pictures' shift is written into it, to check restorations against. Raises FileExistsError if ``out`` holds
    results of other settings, unless ``overwrite``, and PosterioriError if pictures are too few or cannot be read.
    """
    denoisers = {"network": network_call(prior)} | ({"bm3d": bm3d()} if request.bm3d else {})
    sampler, store = DDIM(steps=STEPS), Store(out / RESULTS)

    def phase(description: str, total: float) -> Advance:
        task = progress.add_task(description, total=total, note="")
        return lambda done: progress.update(task, advance=done)

    read = phase("reading pictures", 1)
    data = read_data(prior, request)
    read(1)
    settings = _claim(prior, request, out, record, format_spec(sampler), overwrite)
    levels, about = noise_levels(prior.schedule), About(record["sha256"], seed=request.seed, **arithmetic(prior))
    every = [job for what in (*denoisers, SHIFT) for job in about.asked(what, data.held_out)]
    if overwrite:
        store.keep_only(every)
    report = added(progress, "denoising", {job.key: float(len(levels)) for job in missing(every, store)})
    psnrs = denoising(denoisers, levels, data.held_out, store, about, report)
    moved = shifts(prior, data.held_out, store, about, report)
    write_json(psnrs, out / LOG)
    write_json(moved, out / SHIFTS)
    shift = Shift.of(list(moved.values()))
    distances, memorised = [], None
    if request.samples:
        real = pooled_features(from_bytes(data.windows))  # before sampling, so that bad pictures are reported at once
        folder = out / "samples"
        folder.mkdir(exist_ok=True)
        x = draw(
            prior,
            sampler,
            request.samples,
            folder,
            record=record,
            seed=request.seed,
            batch=None,
            overwrite=overwrite,
            watched=lambda rows: added(progress, "sampling", rows),
        )
        samples = from_bytes(to_bytes(x))  # as the pictures in samples/ have them
        sheet(samples[:SHEET], out / "samples.png", columns=10)
        distances = kernel_distances(samples, real, data.training, seed=request.seed)
        if data.training is not None and not prior.any_size:
            memorised = memorisation(samples, data.windows, data.training, out / "nearest.png", phase)
    table = psnr_table(psnrs, levels, list(denoisers), data.held_out.names)
    evaluation = Evaluation(table, shift, distances, memorised, data.damaged)
    write_json({"settings": settings, "versions": versions(), **asdict(evaluation)}, out / RESULT)
    with atomic_path(out / "evaluation.md") as path:
        path.write_text(markdown(evaluation, request, record), "utf-8")
    if Path(request.prior).is_dir():
        record_shift(Path(request.prior), (shift.low, shift.high))
    return evaluation


def _claim(
    prior: Prior, request: Request, out: Path, record: dict[str, Any], sampler: str, overwrite: bool
) -> dict[str, Any]:
    """Records in ``out`` the settings of the evaluation, and returns them."""
    settings = {
        "posteriori": __version__,
        "prior": record,
        "images": str(request.images),
        **{name: getattr(request, name) for name in ("holdout", "skip", "samples", "seed")},
        "sampler": sampler,
        **arithmetic(prior),
    }
    made_with = read_json(out / RESULT).get("settings") if (out / RESULT).is_file() else None
    if not overwrite and made_with not in (None, settings):
        raise FileExistsError(
            f"{out} holds an evaluation with other settings: give another --out, or --overwrite to replace it"
        )
    if made_with != settings:
        write_json({"settings": settings}, out / RESULT)
    return settings

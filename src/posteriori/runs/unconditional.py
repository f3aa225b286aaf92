"""Samples of a prior as pictures in a folder; a run that was stopped goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from posteriori import __version__
from posteriori.figures import sheet
from posteriori.files import write_json
from posteriori.images import load_image, save_image
from posteriori.likelihoods import Flat
from posteriori.loop import sample
from posteriori.priors.base import Prior
from posteriori.priors.folder import read_json
from posteriori.runs.manifest import MANIFEST, arithmetic, peak_memory, versions
from posteriori.sampler import Sampler, State
from posteriori.settings.text import format_spec


def draw(
    prior: Prior,
    sampler: Sampler,
    n: int,
    out: Path,
    *,
    record: dict[str, Any],
    seed: int,
    batch: int,
    overwrite: bool,
    tick: Callable[[int], None],
) -> None:
    """Writes ``n`` samples, their grid and manifest.json into ``out``; ``record`` is the prior's.

    ``tick`` is told the rows of every step. Raises FileExistsError where ``out`` holds samples that other
    settings made, unless ``overwrite``.
    """
    settings = {
        "posteriori": __version__,
        "sampler": format_spec(sampler),
        "samples": n,
        "prior": record,
        "seed": seed,
        "batch": batch,
        **arithmetic(prior),
    }
    paths = [out / f"sample-{i:0{max(3, len(str(n)))}d}.png" for i in range(1, n + 1)]
    old = sorted(out.glob("sample-*.png"))
    if overwrite:
        for path in old:
            path.unlink()
    elif (out / MANIFEST).is_file() or old:
        made_by = read_json(out / MANIFEST).get("settings") if (out / MANIFEST).is_file() else None
        if made_by != json.loads(json.dumps(settings)):
            raise FileExistsError(
                f"{out} holds samples made otherwise: give another --out, or --overwrite to replace them"
            )
    write_json({"settings": settings, "versions": versions()}, out / MANIFEST)
    started = time.perf_counter()
    steps = len(sampler.path(prior.schedule)) - 1
    for first in range(0, n, batch):
        chunk = paths[first : first + batch]
        if all(path.is_file() for path in chunk):
            tick(len(chunk) * steps)
            continue

        def watch(state: State, step: int, steps: int, rows: slice, drawn: int = len(chunk)) -> None:
            tick(drawn)

        like = Flat(len(chunk), prior.shape, first=first)
        x = sample(prior, like, sampler, seed=seed, callbacks=[watch], progress=False)[:, 0].cpu()
        for image, path in zip(x, chunk, strict=True):
            save_image(image, path)
    sheet(torch.cat([load_image(path) for path in paths]), out / "grid.png")
    cost = {"seconds": round(time.perf_counter() - started, 3), "peak_memory_bytes": peak_memory(prior.device)}
    write_json({"settings": settings, **cost, "versions": versions()}, out / MANIFEST)

"""How good a prior is: held-out denoising, how far its samples are from real pictures, and whether it memorised any."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posteriori import __version__
from posteriori.experiments.evaluation import (
    QUANTILE,
    STEPS,
    Denoising,
    Distance,
    Evaluation,
    Mean,
    Memorisation,
    Request,
    markdown,
)
from posteriori.experiments.tasks import T_DENOISE
from posteriori.figures import sheet
from posteriori.files import atomic_path, write_json
from posteriori.images import load_image
from posteriori.kernels import forward
from posteriori.metrics import kernel_distance, kernel_distance_interval, pooled_features, psnr
from posteriori.prior import Prior
from posteriori.priors.folder import read_json
from posteriori.priors.unet import UNetPrior
from posteriori.rng import Purpose, Rng, generator, image_key
from posteriori.runs.manifest import arithmetic, versions
from posteriori.runs.restoration import batch_for
from posteriori.runs.unconditional import draw
from posteriori.samplers import DDIM
from posteriori.schedule import Level, Schedule
from posteriori.spec import format_spec
from posteriori.training.data import Images, list_names, load_images, load_whole, split_names
from posteriori.training.evaluate import SIGMAS

#: samples on the sheet, and pairs of a sample and its nearest training picture on the other one
SHEET, PAIRS = 100, 10
RESULT, LOG = "evaluation.json", "denoising.json"

#: x_0 from x_t, (1, 3, H, W), at a level
Denoiser = Callable[[Tensor, Level], Tensor]
Tick = Callable[[int], None]
#: a part of the work, by name and total, to what is told of its progress
Phase = Callable[[str, int], Tick]


@dataclass(frozen=True)
class Data:
    """Pictures to evaluate on, uint8: ``held_out`` to denoise, the others at a sample's size, (N, 3, S, S).

    ``training`` is in random order, None where there is none.
    """

    held_out: Images
    windows: Tensor
    training: Tensor | None


def evaluate(
    prior: UNetPrior,
    request: Request,
    out: Path,
    *,
    record: dict[str, Any],
    overwrite: bool,
    phase: Phase,
) -> Evaluation:
    """Evaluates ``prior``, of which ``record`` is ``prior_record``; ``phase`` shows the progress.

    ``out`` gets denoising.json (every picture's PSNR), samples/, samples.png, nearest.png, evaluation.json and
    evaluation.md; what a stopped run left there is gone on from. Raises FileExistsError where ``out`` holds what
    other settings made, unless ``overwrite``, and ValueError where the pictures are too few or cannot be read.
    """
    denoisers = {"network": network_call(prior)} | ({"bm3d": bm3d()} if request.bm3d else {})
    sampler = DDIM(steps=STEPS)
    tick = phase("reading pictures", 1)
    data = read_data(prior, request)
    tick(1)
    settings = _claim(prior, request, out, record, format_spec(sampler), overwrite)
    levels = noise_levels(prior.schedule)
    tick = phase("denoising", len(data.held_out) * len(levels) * len(denoisers))
    figures = denoising(denoisers, levels, data.held_out, out / LOG, seed=request.seed, tick=tick)
    distances, memorised = [], None
    if request.samples:
        real = pooled_features(_floats(data.windows))  # before the samples: it says what is wrong with the pictures
        folder = out / "samples"
        folder.mkdir(exist_ok=True)
        draw(
            prior,
            sampler,
            request.samples,
            folder,
            record=record,
            seed=request.seed,
            batch=batch_for(prior),
            overwrite=overwrite,
            tick=phase("sampling", request.samples * STEPS),
        )
        samples = torch.cat([load_image(path) for path in sorted(folder.glob("sample-*.png"))])
        sheet(samples[:SHEET], out / "samples.png", columns=10)
        distances = kernel_distances(samples, real, data.training, seed=request.seed)
        if data.training is not None and not prior.convolutional:
            memorised = memorisation(samples, data.windows, data.training, out / "nearest.png", phase)
    evaluation = Evaluation(psnr_table(figures, levels, list(denoisers), data.held_out.names), distances, memorised)
    write_json({"settings": settings, "versions": versions(), **asdict(evaluation)}, out / RESULT)
    with atomic_path(out / "evaluation.md") as path:
        path.write_text(markdown(evaluation, request, record), "utf-8")
    return evaluation


def _claim(
    prior: UNetPrior, request: Request, out: Path, record: dict[str, Any], sampler: str, overwrite: bool
) -> dict[str, Any]:
    """Records in ``out`` which settings its figures are made with, and returns them."""
    settings = {
        "posteriori": __version__,
        "prior": record,
        "images": str(request.images),
        **{name: getattr(request, name) for name in ("holdout", "skip", "samples", "seed")},
        "sampler": sampler,
        **arithmetic(prior),
    }
    made_with = read_json(out / RESULT).get("settings") if (out / RESULT).is_file() else None
    if overwrite:
        (out / LOG).unlink(missing_ok=True)
    elif made_with not in (None, settings):
        raise FileExistsError(
            f"{out} holds an evaluation made otherwise: give another --out, or --overwrite to replace it"
        )
    if made_with != settings:
        write_json({"settings": settings}, out / RESULT)
    return settings


def read_data(prior: UNetPrior, request: Request) -> Data:
    """The pictures as training takes them: centre squares brought to the prior's size, or whole for any size.

    A sample of a convolutional prior is compared with the centre of a picture at the picture's own resolution.
    """
    source, size = request.images, prior.shape[-1]
    names = list_names(source)
    training, held_out = split_names(names, request.holdout) if request.holdout else ([], names)
    held_out = held_out[request.skip :]
    if len(held_out) < 2:
        raise ValueError(
            f"holdout {request.holdout!r} and skip {request.skip} leave {len(held_out)} of {len(names)} pictures in "
            f"{source} to evaluate on: at least 2 are needed"
        )

    def load(names: list[str]) -> Images:
        if prior.convolutional:
            return load_whole(source, names, size, prior.stride)
        return load_images(source, names, size)

    # without samples none are needed; whether a convolutional prior has memorised windows of them is not asked
    wanted = len(training) if request.samples and not prior.convolutional else request.samples
    order = torch.randperm(len(training), generator=generator(request.seed))[:wanted].tolist()
    pictures = load(held_out)
    seen = _centres(load([training[i] for i in order]), size) if len(order) > 1 else None
    return Data(pictures, _centres(pictures, size), seen)


def _centres(images: Images, size: int) -> Tensor:
    cut = []
    for image in images.pixels:
        top, left = (image.shape[1] - size) // 2, (image.shape[2] - size) // 2
        cut.append(image[:, top : top + size, left : left + size])
    return torch.stack(cut)


def _floats(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def noise_levels(schedule: Schedule) -> dict[str, Level]:
    """The report's t = 100, and x_0 + sigma n at the noise levels that training reports."""
    level = schedule.level(T_DENOISE)
    named = {f"t = {T_DENOISE} (sigma {level.sigma / level.alpha:.3g})": level}
    return named | {f"sigma {sigma:g}": Level(schedule.time(sigma), 1.0, sigma) for sigma in SIGMAS}


def network_call(prior: Prior) -> Denoiser:
    """E[x_0 | x_t] by one call, at the picture's own size."""

    @torch.no_grad()
    def denoise(x_t: Tensor, level: Level) -> Tensor:
        shape = tuple(x_t.shape[1:])
        sized = prior if shape == prior.shape else prior.at((shape[1], shape[2]))
        return sized.denoise(x_t.to(prior.device), level).x0.cpu()

    return denoise


def bm3d() -> Denoiser:
    """BM3D in colour (Dabov et al. 2007), told the noise. ValueError where the package is not installed."""
    try:
        bm3d_rgb = importlib.import_module("bm3d").bm3d_rgb  # no dependency, so that no type checker knows it
    except ImportError:
        raise ValueError(
            "--bm3d needs the package bm3d, free for non-commercial use: `pip install bm3d`, or leave --bm3d out"
        ) from None

    def denoise(x_t: Tensor, level: Level) -> Tensor:
        y = (x_t[0].permute(1, 2, 0).double().numpy() / level.alpha + 1) / 2
        return torch.from_numpy(bm3d_rgb(y, level.sigma / level.alpha / 2)).permute(2, 0, 1)[None].float() * 2 - 1

    return denoise


def denoising(
    denoisers: Mapping[str, Denoiser],
    levels: Mapping[str, Level],
    images: Images,
    log: Path,
    *,
    seed: int,
    tick: Tick,
) -> dict[str, dict[str, dict[str, float]]]:
    """PSNR (dB) by denoiser, level and picture; what ``log`` knows already is taken from there.

    All denoisers see the same noise, which depends on ``seed`` and the picture alone.
    """
    figures = read_json(log) if log.is_file() else {}
    for name, pixels in zip(images.names, images.pixels, strict=True):
        x_0 = _floats(pixels)[None]
        noise = Rng(seed, [image_key(x_0)], purpose=Purpose.MEASUREMENT).normal(x_0.shape[1:])
        for (label, level), (who, denoise) in product(levels.items(), denoisers.items()):
            known = figures.setdefault(who, {}).setdefault(label, {})
            if name not in known:
                known[name] = psnr(denoise(forward(x_0, level, noise), level), x_0).item()
            tick(1)
        write_json(figures, log)
    return figures


def psnr_table(
    figures: dict[str, dict[str, dict[str, float]]],
    levels: Mapping[str, Level],
    denoisers: list[str],
    names: list[str],
) -> list[Denoising]:
    """A row a level of ``figures``, of the pictures ``names``; the first of ``denoisers`` is the network."""
    rows = []
    for level in levels:
        ours, *theirs = ([figures[who][level][name] for name in names] for who in denoisers)
        bm3d = Mean.of(theirs[0]) if theirs else None
        gain = Mean.of([a - b for a, b in zip(ours, theirs[0], strict=True)]) if theirs else None
        rows.append(Denoising(level, Mean.of(ours), bm3d, gain))
    return rows


def kernel_distances(samples: Tensor, held_out: Tensor, training: Tensor | None, *, seed: int) -> list[Distance]:
    """Of ``samples`` to held-out and training pictures, and between those two: the floor.

    ``held_out`` are features, ``training`` uint8 pictures, of which as many are taken as there are samples.
    """
    drawn = pooled_features(samples)
    pairs = {"samples, held-out": (drawn, held_out)}
    if training is not None:
        seen = pooled_features(_floats(training[: len(samples)]))
        pairs |= {"samples, training": (drawn, seen), "training, held-out (floor)": (seen, held_out)}
    return [
        Distance(name, len(x), len(y), kernel_distance(x, y), *kernel_distance_interval(x, y, seed=seed))
        for name, (x, y) in pairs.items()
    ]


def nearest(queries: Tensor, references: Tensor, tick: Tick) -> tuple[Tensor, Tensor]:
    """RMS distance of each query to the nearest reference or its mirror image, and which it is: (N,) each.

    ``queries`` is (N, 3, S, S) on [-1, 1], ``references`` (M, 3, S, S) uint8.
    """
    q = queries.flatten(1)
    least = torch.full((len(q),), math.inf)
    distance, which = least.clone(), torch.zeros(len(q), dtype=torch.long)
    for first in range(0, len(references), 256):
        block = _floats(references[first : first + 256])
        for r in (block.flatten(1), block.flip(-1).flatten(1)):
            found, at = (r.square().sum(1) - 2 * q @ r.T).min(1)  # |q - r|^2 less |q|^2
            closer = found < least
            least[closer], which[closer] = found[closer], first + at[closer]
            # anew, because the difference above has lost the digits of a small one
            distance[closer] = (q[closer] - r[at[closer]]).square().mean(1).sqrt()
        tick(len(block))
    return distance, which


def memorisation(samples: Tensor, held_out: Tensor, training: Tensor, path: Path, phase: Phase) -> Memorisation:
    """The figures, and at ``path`` the samples nearest to a training picture above those pictures."""
    queries = torch.cat([samples, _floats(held_out)])
    distance, which = nearest(queries, training, phase("nearest training pictures", len(training)))
    ours, theirs = distance.split([len(samples), len(held_out)])
    closest = ours.argsort()[:PAIRS]
    sheet(torch.cat([samples[closest], _floats(training[which[closest]])]), path, columns=len(closest))
    threshold = theirs.quantile(QUANTILE)
    return Memorisation(
        *(len(samples), len(held_out), len(training)),
        samples=ours.median().item(),
        held_out=theirs.median().item(),
        threshold=threshold.item(),
        nearer=(ours < threshold).float().mean().item(),
    )

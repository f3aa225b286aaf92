"""Blind deconvolution of 16 real camera shakes (Levin et al. 2009), and kernels found in simulated ones.

    python -m posteriori.studies.guide.blind --data DATA --out OUT --page docs/blind.md

A picture is restored twice by the same DPIR: with the kernel that was found in it, and with the one that was measured
by a grid of points of light. Writes the tables of the page between its marks, and OUT/kernels.png. What is in OUT is
not computed again; --only NAME computes one picture, and writes no page.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import shift
from torch import Tensor

from posteriori.arrays import Array
from posteriori.diagnosis.blind import SURE, find_any, find_width, likeness, luminance
from posteriori.files import read_json, write_json
from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.images.pixels import from_bytes, to_bytes
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import Blur, GaussianBlur, MotionBlur
from posteriori.restore.blur import INEXACT
from posteriori.rng import generator
from posteriori.samplers import DPIR
from posteriori.studies.page import fill_marks
from posteriori.studies.table import Table

#: pictures, kernels, and kernels whose file is not rotated by 180 degrees, as a least-squares fit shows
PICTURES, KERNELS, UPRIGHT = (1, 2), range(1, 9), (4, 8)
#: steps of DPIR
STEPS = 8
#: pixels along the frame that do not count, in addition to the shift
BORDER = 15
#: error ratios below this are a success
SUCCESS = 3
#: simulated: pictures, the side of their part (odd and even), and the noise
BUNDLED, SIDES, NOISES = ("coffee", "chelsea"), (241, 254), (0.01, 0.2)
BLURS = ("none", "gaussian 1", "gaussian 2", "gaussian 3", "motion 0", "motion 1", "motion 2")


def true_kernel(folder: Path, number: int) -> np.ndarray:
    """k of y = k * x."""
    k = np.asarray(Image.open(folder / f"gt/kernel{number}.png"), dtype=np.float64)
    k = k if number in UPRIGHT else k[::-1, ::-1]
    return k / k.sum()


def aligned_error(x: np.ndarray, truth: np.ndarray) -> float:
    """The mean square of x - truth without the frame, the least over all shifts of x to an eighth of a pixel.

    Levin et al. 2009 compare like this, since a shift of the kernel shifts the picture. Whole pixels are found by
    correlating edges, fractions by splines.
    """
    window = np.outer(*(np.hanning(side) for side in x.shape))
    a, b = (np.fft.rfft2(np.hypot(*np.gradient(own)) * window) for own in (x, truth))
    peak = np.unravel_index(np.fft.irfft2(a.conj() * b, x.shape).argmax(), x.shape)
    at = np.array([(p + side // 2) % side - side // 2 for p, side in zip(peak, x.shape, strict=True)], float)
    crop = BORDER + int(abs(at).max()) + 1
    inside = (slice(crop, -crop),) * 2

    def error(by: np.ndarray) -> float:
        return float(np.square(shift(x, by, order=3, mode="nearest") - truth)[inside].mean())

    for step in (1.0, 0.5, 0.25, 0.125):
        at = min((at + step * np.array(move) for move in product((0, -1, 1), repeat=2)), key=error)
    return error(at)


def deconvolved(y: Tensor, k: np.ndarray, prior: Any) -> np.ndarray:
    """``y``, (1, 3, H, W), restored by DPIR with the kernel ``k``: luminance on [0, 1], in ``y``'s frame."""
    shape = y.shape[1], y.shape[2] + k.shape[0] - 1, y.shape[3] + k.shape[1] - 1
    operator = Blur(shape, Array(k), border="valid")
    x = sample(prior.at(shape[1:]), Gaussian(y, operator, INEXACT), DPIR(steps=STEPS), progress=False)[0, 0]
    top, left, height, width = operator.frame
    return (x[:, top : top + height, left : left + width].mean(0).double().numpy().clip(-1, 1) + 1) / 2


def shake(folder: Path, picture: int, number: int, prior: Any) -> dict[str, Any]:
    """Finds the kernel of one real picture, and restores the picture with it and with the true one."""
    y = load_image(folder / f"im{picture}_kernel{number}_img.png")
    truth = luminance(load_image(folder / f"gt/im{picture}.png"))
    true, started = true_kernel(folder, number), time.process_time()
    found = find_any(y, None, "the picture")
    seconds = time.process_time() - started
    errors = {
        "measured": aligned_error(luminance(y), truth),
        "true": aligned_error(deconvolved(y, true, prior), truth),
        "blind": aligned_error(deconvolved(y, found.k, prior), truth),
    }
    return {
        "psnr": {name: -10 * float(np.log10(error)) for name, error in errors.items()},
        "ratio": errors["blind"] / errors["true"],
        "likeness": likeness(found.k, true),
        "agreement": found.agreement,
        "seconds": seconds,
        "kernel": found.k.tolist(),
    }


def simulated(name: str, blur: str, noise: float, *, grey: bool) -> dict[str, Any]:
    """Finds a known blur in a part of a bundled picture."""
    height, width = SIDES
    kind, _, size = blur.partition(" ")
    margin = 12
    x = load_image(name)[..., 20 : 20 + height + 2 * margin, 20 : 20 + width + 2 * margin]
    true = np.ones((1, 1))
    if kind == "gaussian":
        true = np.outer(*[GaussianBlur((3, 99, 99), float(size)).kernel] * 2)
    elif kind == "motion":
        true = MotionBlur((3, 99, 99), size=21, seed=int(size)).weights
    y = Blur(tuple(x.shape[1:]), Array(true))(x)[..., margin:-margin, margin:-margin]
    y = y.mean(1, keepdim=True).expand_as(y) if grey else y
    y = y + noise * torch.randn(y[:, : 1 if grey else 3].shape, generator=generator(0))
    y = from_bytes(to_bytes(y))
    width_found, found = find_width(y), find_any(y, None, name)
    return {"sigma": width_found.sigma, "likeness": likeness(found.k, true), "agreement": found.agreement}


def _shake_table(found: dict[str, dict[str, Any]]) -> list[str]:
    columns = ("picture", "measured", "true kernel", "blind", "error ratio", "likeness", "agreement", "seconds")
    rows = []
    for name, own in found.items():
        psnr = (f"{own['psnr'][key]:.2f}" for key in ("measured", "true", "blind"))
        rest = (f"{own[key]:.2f}" for key in ("ratio", "likeness", "agreement"))
        rows.append((name, *psnr, *rest, f"{own['seconds']:.1f}"))
    ratios = np.array([own["ratio"] for own in found.values()])
    sure = np.array([own["agreement"] > SURE for own in found.values()])
    means = [float(np.mean([own["psnr"][key] for own in found.values()])) for key in ("measured", "true", "blind")]
    below = int((ratios < SUCCESS).sum())
    text = f"Error ratios below {SUCCESS}: {below} of {len(ratios)}; the median is {np.median(ratios):.2f}. "
    text += "Mean PSNR {:.2f} dB measured, {:.2f} with the true kernels, {:.2f} blind. ".format(*means)
    right = int((ratios[sure] < SUCCESS).sum())
    text += f"The search is sure of {sure.sum()} kernels; {right} of these have a ratio below {SUCCESS}."
    return [Table("", "", columns, rows).markdown(), "", fill(text, 120)]


def _simulated_table(found: dict[str, dict[str, Any]]) -> list[str]:
    columns = ("picture", "blur", "noise", "width found", "likeness of the kernel", "agreement")
    rows = [
        (*name.split(", "), *(f"{own[key]:.2f}" for key in ("sigma", "likeness", "agreement")))
        for name, own in found.items()
    ]
    return [Table("", "", columns, rows).markdown()]


def _drawn(found: dict[str, dict[str, Any]], folder: Path, path: Path, side: int = 45) -> None:
    """Draws the true kernels above those that were found, each in the middle of its tile."""

    def tile(k: np.ndarray) -> np.ndarray:
        whole = np.zeros((side, side))
        top, left = ((side - n) // 2 for n in k.shape)
        whole[top : top + k.shape[0], left : left + k.shape[1]] = k / k.max()
        return whole

    pairs = [(true_kernel(folder, int(name[-1])), np.array(own["kernel"])) for name, own in found.items()]
    rows = [np.concatenate([tile(pair[row]) for pair in pairs], 1) for row in (0, 1)]
    picture = Image.fromarray((255 * np.concatenate(rows)).astype(np.uint8))
    picture.resize((2 * picture.width, 2 * picture.height), Image.Resampling.NEAREST).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds real/levin")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="page whose text between marks is rewritten")
    parser.add_argument(
        "--only", help="one picture, such as im1_kernel1, or one simulated, such as 'coffee, none, 0.01'"
    )
    parser.add_argument("--written", action="store_true", help="compute nothing, and write what is in OUT")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    folder, prior = args.data / "real/levin", load_prior("photo")
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        f"im{i}_kernel{j}": partial(shake, folder, i, j, prior) for i, j in product(PICTURES, KERNELS)
    }
    for name, blur, noise, grey in product(BUNDLED, BLURS, NOISES, (False, True)):
        if not grey or name == BUNDLED[0]:
            label = f"{name}{' in grey' if grey else ''}, {blur}, {noise:g}"
            jobs[label] = partial(simulated, name, blur, noise, grey=grey)
    for name, job in jobs.items():
        path = args.out / f"{name}.json"
        if args.only in (None, name) and not args.written and not path.exists():
            own = job()
            write_json(own, path)
            print(name, {key: value for key, value in own.items() if key != "kernel"}, flush=True)
    if args.only:
        return
    there = {name: args.out / f"{name}.json" for name in jobs}
    found = {name: read_json(path) for name, path in there.items() if path.exists()}
    real = {name: own for name, own in found.items() if "kernel" in own}
    _drawn(real, folder, args.out / "kernels.png")
    if args.page:
        tables = {
            "shakes": _shake_table(real),
            "simulated": _simulated_table({name: own for name, own in found.items() if name not in real}),
        }
        fill_marks(args.page, {mark: "\n".join(lines) for mark, lines in tables.items()})


if __name__ == "__main__":
    main()

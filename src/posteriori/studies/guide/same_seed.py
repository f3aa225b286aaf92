"""How far a seed's picture differs on another processor: every sampler, under several arithmetics of the libraries.

    python -m posteriori.studies.guide.same_seed --dtype float32

restores a face with `faces-64` in 20 steps under each of SETTINGS, in processes of their own, and prints for every
sampler the largest and the rms difference to the first of them, on 0..255. Results in OUT are not computed again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from posteriori.hub.load import load_prior
from posteriori.images.files import load_image
from posteriori.likelihoods import Gaussian
from posteriori.loop import sample
from posteriori.operators import GaussianBlur
from posteriori.sampler import Sampler
from posteriori.settings.presets import resolve
from posteriori.settings.text import read_samplers

#: the first is the processor's own; the last is that of a processor of 2011
SETTINGS = (
    "",
    "MKL_CBWR=COMPATIBLE",
    "MKL_CBWR=AVX2 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2",
    "MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float32", help="the network's arithmetic")
    parser.add_argument("--samplers", default="all", help="names, like dps,ddim")
    parser.add_argument("--settings", type=int, nargs="*", default=[*range(len(SETTINGS))], help="indices of SETTINGS")
    parser.add_argument("--out", type=Path, default=Path("out/same-seed"))
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # the process of one setting
    asked = parser.parse_args()
    if asked.into:
        restore(read_samplers(asked.samplers), asked.dtype, asked.into)
        return
    own = [sys.executable, __file__, "--dtype", asked.dtype, "--samplers", asked.samplers]
    folders = {}
    for i in asked.settings:
        folders[i] = asked.out / asked.dtype / str(i)
        folders[i].mkdir(parents=True, exist_ok=True)
        setting = dict(word.split("=") for word in SETTINGS[i].split())
        subprocess.run([*own, "--into", str(folders[i])], env=os.environ | setting, check=True)
    for cls in read_samplers(asked.samplers):
        first, *others = (255 * np.load(folder / f"{cls.name}.npy") / 2 for folder in folders.values())
        off = [other - first for other in others]
        shown = (f"{np.abs(d).max():9.2g} {np.sqrt(np.square(d).mean()):9.2g}" for d in off)
        print(f"{cls.name:20}", *shown, flush=True)


def restore(classes: list[type[Sampler]], dtype: str, into: Path) -> None:
    torch.set_num_threads(1)
    prior, x = load_prior("faces-64", dtype=dtype), load_image("astronaut", size=64)
    operator = GaussianBlur(prior.shape, sigma=1.5)
    like = Gaussian.simulate(x, operator, 0.05)
    for cls in classes:
        if (into / f"{cls.name}.npy").exists():
            continue
        sampler = resolve(cls, operator, prior, steps=20, sigma=0.05).sampler
        found = sample(
            prior, like, sampler, n=4 if cls.interacting else 1, progress=False
        )  # one particle has no weights
        np.save(into / f"{cls.name}.npy", found.clamp(-1, 1).numpy())


if __name__ == "__main__":
    main()

"""Weights as diffusers stores them: one file or several, in one of two formats, in full precision or a variant."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import first_line, read_json
from posteriori.hub.cards import sha256

STEM = "diffusion_pytorch_model"
WEIGHTS = f"{STEM}.safetensors"


def find_weights(folder: Path) -> tuple[Path, ...]:
    """The files in ``folder`` that hold the weights, of the first kind that is there; none where there are none.

    In this order: safetensors and pickles, each whole, in shards or of a variant such as fp16. FileNotFoundError where
    a shard is missing.
    """
    for ending in ("safetensors", "bin"):
        whole = folder / f"{STEM}.{ending}"
        indices = [folder / f"{STEM}.{ending}.index.json", *sorted(folder.glob(f"{STEM}.{ending}.index.*.json"))]
        variants = sorted(path for path in folder.glob(f"{STEM}.*.{ending}") if "-of-" not in path.name)
        if whole.is_file():
            return (whole,)
        for index in indices[:1]:
            if index.is_file():
                return _shards(index)
        if variants:
            return (variants[0],)
        if indices[1:]:
            return _shards(indices[1])
    return ()


def _shards(index: Path) -> tuple[Path, ...]:
    named = read_json(index).get("weight_map", {}).values()
    files = tuple(index.parent / Path(str(name)).name for name in sorted(set(named)))
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise FileNotFoundError(f"{(missing or [index])[0]} is missing or empty: get all parts of the weights again")
    return files


def read_weights(files: tuple[Path, ...]) -> dict[str, Tensor]:
    """The tensors in ``files``, by name. No code in a pickle runs. PosterioriError where one is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for file in files:
        try:
            if file.suffix == ".bin":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of pickle protocols
                    state |= torch.load(file, map_location="cpu", weights_only=True)
            else:
                state |= load_file(file)
        except (SafetensorError, OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise PosterioriError(f"{file} cannot be loaded ({first_line(error)}): get it again") from None
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise PosterioriError(f"{files[0]} holds more than tensors: give the network's own weights")
    return state


def hash_of(files: tuple[Path, ...]) -> str:
    """The sha256 of one file; of several, that of their hashes."""
    if len(files) == 1:
        return sha256(files[0])
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()

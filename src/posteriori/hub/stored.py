"""Weights as diffusers stores them: one file or several, in one of two formats, in full precision or a variant."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.files import first_line, read_json
from posteriori.hub.cards import sha256

STEM = "diffusion_pytorch_model"
WEIGHTS = f"{STEM}.safetensors"


def find_weights(folder: Path) -> tuple[Path, ...]:
    """The files in ``folder`` that hold the weights, of the first kind found; none if there are none.

    In this order: safetensors and pickles, each as one file, in shards, or as a variant such as fp16. FileNotFoundError
    if a shard is missing.
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
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(type(name) is str and name for name in places.values()):
        raise PosterioriError(f"{index} has no weight_map of files: get all parts of the weights again")
    files = tuple(index.parent / Path(name).name for name in sorted(set(places.values())))
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise FileNotFoundError(f"{(missing or [index])[0]} is missing or empty: get all parts of the weights again")
    return files


def read_weights(files: tuple[Path, ...]) -> dict[str, Tensor]:
    """The tensors in ``files``, by name. No code in a pickle runs.

    PosterioriError if a file is damaged, PermissionError if it may not be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for file in files:
        try:
            file.open("rb").close()  # safetensors says of a file that may not be read that there is none
            state |= named_tensors(unpickled(file), file) if file.suffix == ".bin" else load_file(file)
        except PermissionError as error:
            raise PermissionError(f"{file} cannot be read ({error.strerror}): change its permissions") from None
        except (SafetensorError, OSError, RuntimeError, OverflowError) as error:
            raise PosterioriError(f"{file} cannot be loaded ({first_line(error)}): get it again") from None
    return state


def unpickled(path: Path, device: torch.device | str = "cpu") -> Any:
    """The content of a file that torch.save wrote, without running any code in it.

    PosterioriError if it is damaged, or holds more than tensors, numbers, texts and their containers.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols: the errors below say more
            return torch.load(path, map_location=device, weights_only=True)
    except MemoryError:
        raise PosterioriError(f"{path} is damaged, or asks for more memory than there is: get it again") from None
    except pickle.UnpicklingError:
        raise PosterioriError(
            f"{path} holds more than tensors, or is not a checkpoint: it was refused and ran no code"
        ) from None
    except Exception as error:  # a pickle is a program: one that is damaged fails in any way
        raise PosterioriError(f"{path} is damaged or not a checkpoint ({first_line(error)}): get it again") from None


def named_tensors(state: Any, path: Path) -> dict[str, Tensor]:
    """``state``, if it is a state dict; PosterioriError otherwise."""
    if isinstance(state, dict) and state and all(type(k) is str and isinstance(v, Tensor) for k, v in state.items()):
        return state
    raise PosterioriError(f"{path} holds no state dict (tensors by name): give the network's own, not a training state")


def hash_of(files: tuple[Path, ...]) -> str:
    """The sha256 of one file; for several, that of their hashes."""
    if len(files) == 1:
        return sha256(files[0])
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()

"""The pictures that a prior is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posteriori.errors import PosterioriError
from posteriori.images.fit import centre
from posteriori.priors.base import Prior
from posteriori.rng import generator
from posteriori.studies.evaluation.result import Request
from posteriori.training.data import Dataset, list_names, load_images, load_whole, split_names


@dataclass(frozen=True)
class Data:
    """Pictures to evaluate on, uint8: ``held_out`` to denoise, the others at a sample's size, (N, 3, S, S).

    ``training`` is in random order, or None. ``damaged`` says for each picture left out what is wrong with it.
    """

    held_out: Dataset
    windows: Tensor
    training: Tensor | None
    damaged: list[str]


def read_data(prior: Prior, request: Request) -> Data:
    """The pictures as training reads them: centre squares at the prior's size, or whole pictures for any size.

    A sample of a convolutional prior is compared with the centre of a picture at the picture's own resolution.
    """
    source, size = request.images, prior.shape[-1]
    names = list_names(source)
    training, held_out = split_names(names, request.holdout) if request.holdout else ([], names)
    held_out = held_out[request.skip :]
    if len(held_out) < 2:
        raise PosterioriError(
            f"holdout {request.holdout!r} and skip {request.skip} leave {len(held_out)} of {len(names)} pictures in "
            f"{source} to evaluate on: at least 2 are needed"
        )

    def load(names: list[str]) -> Dataset:
        if prior.any_size:
            return load_whole(source, names, size, prior.stride, tolerant=True)
        return load_images(source, names, size, tolerant=True)

    # without samples none are needed; a convolutional prior is not checked for memorised windows, so that few suffice
    wanted = len(training) if request.samples and not prior.any_size else request.samples
    order = torch.randperm(len(training), generator=generator(request.seed))[:wanted].tolist()
    pictures = load(held_out)
    seen = load([training[i] for i in order]) if len(order) > 1 else None
    damaged = [*pictures.damaged, *(seen.damaged if seen else [])]
    return Data(pictures, _centres(pictures, size), _centres(seen, size) if seen else None, damaged)


def _centres(images: Dataset, size: int) -> Tensor:
    return torch.stack([centre(image, size) for image in images.pixels])

"""LPIPS with VGG of a suite's restorations: measured once, on the 8-bit pictures that were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posteriori.images.files import to_tensor
from posteriori.jobs.executor import Tick
from posteriori.jobs.executors import Serial
from posteriori.jobs.key import Job
from posteriori.jobs.run import missing, run
from posteriori.jobs.store import Result, Store
from posteriori.metrics import lpips
from posteriori.studies.engine.plan import Rows


@dataclass(frozen=True)
class Distances(Job):
    """The distances of the pictures of ``rows`` to the clean ones; NaN if the sampler diverged."""

    rows: Rows


@dataclass(frozen=True)
class _Work:
    store: Store
    clean: Mapping[str, Tensor]

    def __call__(self, job: Distances, tick: Tick) -> Result:
        found = self.store.read(job.rows)
        assert found  # the rows are restored before
        kept, images = found.arrays.get("pictures.x"), job.rows.run.images
        truth = torch.stack([self.clean[images[i][1]] for i, _ in job.rows.rows])
        distances = np.full(len(truth), np.nan)
        if kept is not None:
            distances = torch.cat([lpips(to_tensor(x), own[None], "vgg") for x, own in zip(kept, truth, strict=True)])
        return Result(arrays={"lpips_vgg": np.asarray(distances)})


def vgg_distances(groups: Sequence[Rows], clean: Mapping[str, Tensor], store: Store) -> np.ndarray:
    """The distances of ``groups``, (rows,), whose results are in ``store``. ``clean`` has the pictures by hash.

    Raises PosterioriError if VGG's weights are missing.
    """
    jobs = [Distances(rows) for rows in groups]
    run(missing(jobs, store), _Work(store, clean), store, Serial())
    return np.concatenate([result.arrays["lpips_vgg"] for job in jobs if (result := store.read(job))])

"""One small picture for each method: the exact density beside the sampled one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posteriori.priors.mixture import GaussianMixture
from posteriori.priors.tied import TiedMixture
from posteriori.schedule import Level
from posteriori.studies import plots
from posteriori.studies.page import Plot
from posteriori.studies.verification.plan import Scope
from posteriori.studies.verification.results import Row

#: half the side of what is shown, and the standard deviation of the noise that smooths points and density alike
_HALF, _SMOOTH = 21.0, Level(0, 1.0, 0.6)


def draw(rows: Sequence[Row], scope: Scope, seed: int, folder: Path) -> list[Plot]:
    """Draws a picture into ``folder`` for every method on the pictured problem, at the first of the scope's steps."""
    folder.mkdir(exist_ok=True)
    problem, steps = scope.pictured, scope.steps[0]
    posterior = problem.posterior(seed)
    within = posterior.component_covariance()[:2, :2].expand(len(posterior.means), -1, -1)
    exact = _density(GaussianMixture(posterior.means[:, :2], within, posterior.weights))
    found = []
    for row in rows:
        points = row.records[0].points
        if row.problem != problem or row.steps != steps or points is None:
            continue
        sampled = _density(TiedMixture.isotropic(torch.tensor(points), 0.0))
        about = f"{row.method}, d = {problem.d}, d_y = {problem.d_y}, {steps} steps, seed {seed}"
        smooth = f"smoothed by a Gaussian of sigma {_SMOOTH.sigma}"
        caption = f"{about}: exact and sampled density of the first two entries, both {smooth}."
        path = _pair(exact, sampled, row.method, folder / row.method)
        found.append(Plot(path, caption, f"Two densities: the exact posterior's and that of {row.method}'s samples."))
    return found


def _density(mixture: GaussianMixture | TiedMixture) -> np.ndarray:
    """The smoothed density on a grid of points, (128, 128), rows along the second entry."""
    axis = torch.linspace(-_HALF, _HALF, 128, dtype=torch.float64)
    at: Tensor = torch.cartesian_prod(axis, axis)
    return mixture.log_prob(at, _SMOOTH).exp().unflatten(0, (128, 128)).T.numpy()


def _pair(exact: np.ndarray, sampled: np.ndarray, method: str, stem: Path) -> Path:
    drawn, panels = plots.figure(2, width=1.9, height=2.0)
    for panel, density, title in zip(panels, (exact, sampled), ("exact", method), strict=True):
        # the root shows faint modes; one scale for both
        panel.imshow(np.sqrt(density), cmap="Blues", vmin=0, vmax=np.sqrt(exact.max()), origin="lower",
                     extent=(-_HALF, _HALF, -_HALF, _HALF))  # fmt: skip
        panel.set_title(title, fontsize=9)
        panel.set_xticks([-16, 0, 16])
        panel.set_yticks([-16, 0, 16])
    return plots.save(drawn, stem)

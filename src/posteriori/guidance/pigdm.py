"""PiGDM: guidance by the pseudo-inverse, through the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, final

from annotated_types import Gt
from torch import Tensor

from posteriori.guidance.base import ReverseGuidance
from posteriori.likelihoods.base import Likelihood, Linear
from posteriori.priors.base import Denoised, Prior
from posteriori.rng import Rng
from posteriori.sampler import State, Stats, Steps
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class PiGDM(ReverseGuidance):
    """Pseudo-inverse guidance: the score of y if p(x_0 | x_t) = N(x0, r_t^2 I), through the network's Jacobian J.

    With x0 = E[x_0 | x_t], J = d x0 / d x_t, sigma_bar = sigma_t / alpha_t and r_t^2 = v sigma_bar^2 / (v +
    sigma_bar^2),

        g = grad_{x_t} log N(y; A x0, r_t^2 A A^T + sigma_y^2 I) = J^T A^T (r_t^2 A A^T + sigma_y^2 I)^-1 (y - A x0)

    r_t^2 A^T (...)^-1 (y - A x0) is computed as a proximal step from x0, with rho = sigma_y^2 / r_t^2, minus x0.
    ``weight`` "adaptive" is x_s = reverse(x_t, x0) + alpha_s alpha_t r_t^2 g. ``weight`` "score" is x_s = reverse(x_t,
    x0 + sigma_t^2 / alpha_t g), which is Tweedie's E[x_0 | x_t, y], exact for a Gaussian prior of variance v.

    Paper: Song et al. 2023, "Pseudoinverse-guided diffusion models for inverse problems", algorithm 1.

    Operators: linear. Cost: one network call and one vjp a step.

    The paper's v = 1 assumes data of unit variance; images on [-1, 1] have about 0.3. The weight alpha_s alpha_t is
    that of the authors' later code (RED-diff's). That code has no sigma_y, and starts at alpha A^+ y + sigma eps; here
    the start is noise.
    """

    name: ClassVar[str] = "pigdm"
    requires: ClassVar[type[Likelihood]] = Linear

    steps: Steps = 100
    data_var: Annotated[float, Gt(0), "assumed variance v of the data, on the [-1, 1] scale"] = 1.0
    weight: Annotated[
        Literal["adaptive", "score"], "weight of the guidance: adaptive, as published, or score, from Bayes' rule"
    ] = "adaptive"

    def __call__(self, x_t: Tensor, t: Level, prior: Prior, like: Linear) -> Denoised:
        """E[x_0 | x_t, y], for either ``weight``."""
        t = t.with_signal()
        denoised, g, r2 = self._guidance(x_t, t, prior, like)
        return denoised.given(denoised.x0 + t.sigma**2 / (t.alpha * r2) * g)

    def step(self, state: State, s: Level, prior: Prior, like: Linear, rng: Rng) -> State:
        if self.weight == "score":
            return super().step(state, s, prior, like, rng)
        t = state.level
        denoised, g, _ = self._guidance(state.x, t, prior, like)
        x_s = self.reverse(state.x, denoised, t, s, rng) + s.alpha * t.alpha * g
        return State(x_s, s, state.n, denoised.x0, Stats(gradient=lambda: g.flatten(1).norm(dim=1)))

    def _guidance(self, x_t: Tensor, t: Level, prior: Prior, like: Linear) -> tuple[Denoised, Tensor, float]:
        """The prior's estimate, r_t^2 g and r_t^2."""
        r2 = 1 / (1 / self.data_var + 1 / t.sigma_bar**2)
        denoised, vjp = prior.linearise(x_t, t, self.clip)
        towards_y = like.prox(denoised.x0, like.sigma**2 / r2) - denoised.x0
        return denoised, vjp(towards_y), r2

"""Reverse: any estimate of E[x_0 | x_t, y], any integrator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, final

from posteriori.guidance.base import Guidance
from posteriori.guidance.mmps import MMPS
from posteriori.integrators import INTEGRATORS, Integrator
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Around, State, Stats
from posteriori.schedule import Level


@final
@dataclass(frozen=True, kw_only=True)
class Reverse(Around):
    """The estimate of E[x_0 | x_t, y] of another sampler under an integrator of one's own.

    ``guidance`` gives the estimate, its steps and its levels; its own noise (eta, zeta, variance, PiGDM's weight) does
    not count. ``ddim`` as guidance is the prior without data. Of the integrators, "ancestral" draws DDPM's noise;
    "ddim" (first order), "heun" and "dpm-solver++" (second order) solve the probability-flow ODE, in which nothing is
    drawn after the first state.

    Paper: Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", algorithm 1; Lu et
    al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models", algorithm 2.

    Operators: those of the guidance. Cost: the guidance's, a step; with "heun" twice that but for the last.

    With the posterior's own mean every integrator leads to the posterior; for a Gaussian prior MMPS has it. Other
    estimates leave too little variance where nothing is drawn, in any number of steps.
    """

    name: ClassVar[str] = "reverse"
    inside: ClassVar[str] = "guidance"

    guidance: Annotated[Guidance, "the sampler whose estimate of E[x_0 | x_t, y] it is"] = field(default_factory=MMPS)
    integrator: Annotated[Integrator, "the way from one level to the next"] = "heun"

    def step(self, state: State, s: Level, prior: Prior, like: Any, rng: Rng) -> State:
        x, denoised, carry = INTEGRATORS[self.integrator](
            lambda x, t: self.guidance(x, t, prior, like),
            state.x,
            state.level,
            s,
            lambda: rng.normal(state.x.shape[1:]),
            state.carry,
        )
        return State(x, s, state.n, denoised.alone, Stats(), carry)

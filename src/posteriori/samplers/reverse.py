"""Reverse: combines any estimate of E[x_0 | x_t, y] with any integrator."""

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
    """Another sampler's estimate of E[x_0 | x_t, y], with an integrator of your choice.

    ``guidance`` determines the estimate, the steps and the levels. Its own noise settings (eta, zeta, variance, PiGDM's
    weight) have no effect. ``ddim`` as guidance is the prior without data. The integrator "ancestral" is DDPM. "ddim"
    (first order), "heun" and "dpm-solver++" (second order) solve the probability-flow ODE, which is deterministic after
    the first state.

    Paper: Karras et al. 2022, "Elucidating the design space of diffusion-based generative models", algorithm 1; Lu et
    al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models", algorithm 2.

    Operators: as for the guidance. Cost: as for the guidance, and twice that in all but the last step with "heun".

    With the exact posterior mean, every integrator converges to the posterior. MMPS has it for a Gaussian prior. With
    other estimates, deterministic integrators give too little variance, in any number of steps.
    """

    name: ClassVar[str] = "reverse"
    inside: ClassVar[str] = "guidance"

    guidance: Annotated[Guidance, "the sampler whose estimate of E[x_0 | x_t, y] is used"] = field(default_factory=MMPS)
    integrator: Annotated[Integrator, "how to step from one level to the next"] = "heun"

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

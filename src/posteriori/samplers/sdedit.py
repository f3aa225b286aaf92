"""SDEdit: starts the reverse process, or another sampler, at the noised measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, final

from annotated_types import Gt

from posteriori.errors import PosterioriError
from posteriori.kernels import forward
from posteriori.likelihoods.base import Likelihood
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import Around, Sampler, State, SteppedSampler
from posteriori.samplers.ddim import DDIM
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True, kw_only=True)
class SDEdit(Around):
    """Noises the measurement to the time t_start, and runs the reverse process from there.

    x_t* = alpha A~(y) + sigma eps at t* = ``t_start``, where A~(y) is the operator's initial estimate. Then ``base``
    runs. A small t* keeps the measurement and its degradation, a large one follows the prior. The report uses 500.

    A ``base`` that uses the measurement removes the degradation. Starting below full noise then saves network calls
    (Chung et al. 2022, "Come-closer-diffuse-faster: accelerating conditional diffusion models for inverse problems
    through stochastic contraction"): its steps are spread over the whole schedule, and those above t* are skipped. x_t*
    is close to a state of its level only if sigma / alpha at t* is well above the error of A~(y). With faces-64, three
    times the largest error was enough.

    Paper: Meng et al. 2022, "SDEdit: guided image synthesis and editing with stochastic differential equations",
    algorithm 1.
    """

    name: ClassVar[str] = "sdedit"
    inside: ClassVar[str] = "base"

    t_start: Annotated[float, Gt(0), "time to start from, above 0 (clean) and up to the schedule's end (noise)"] = 500
    base: Annotated[SteppedSampler, "the sampler that runs from there"] = field(default_factory=DDIM)

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.base).init is not Sampler.init:
            raise PosterioriError(
                f"base is {self.base.name}, which does not start from a noised image: give another, like ddim"
            )

    def path(self, schedule: Schedule) -> list[Level]:
        if self.t_start > schedule.end:
            raise PosterioriError(f"t_start is {self.t_start}: give a time above 0, up to {schedule.end:g}")
        below = [level.t for level in super().path(schedule) if 0 < level.t < self.t_start]
        return schedule.path([self.t_start, *below])

    def init(self, t: Level, prior: Prior, like: Likelihood, rng: Rng, n: int) -> State:
        return State(forward(like.initial_estimate(), t, rng.normal(prior.shape)), t, n)

    def step(self, state: State, s: Level, prior: Prior, like: Likelihood, rng: Rng) -> State:
        return self.base.step(state, s, prior, like, rng)

"""SDEdit: start the reverse process, or any sampler that steps down from noise, at the noised measurement."""

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
    """The measurement noised up to t_start, and the reverse process from there.

    x_t* = alpha A~(y) + sigma eps at t* = ``t_start``, where A~(y) is the operator's initial estimate, then ``base``. A
    small t* keeps the measurement and its damage, a large one follows the prior; the report's is 500.

    A ``base`` that looks at the measurement repairs the damage, and a start below noise saves it calls (Chung et al.
    2022, "Come-closer-diffuse-faster: accelerating conditional diffusion models for inverse problems through stochastic
    contraction"): its steps are over the whole schedule, and those above t* are left out. x_t* is a sample of its level
    only where sigma / alpha there is well above the error of A~(y): with faces-64 three times it, where it is largest,
    was enough.

    Paper: Meng et al. 2022, "SDEdit: guided image synthesis and editing with stochastic differential
    equations", algorithm 1.
    """

    name: ClassVar[str] = "sdedit"
    inside: ClassVar[str] = "base"

    t_start: Annotated[float, Gt(0), "time to start from, above 0 (clean) and up to the schedule's end (noise)"] = 500
    base: Annotated[SteppedSampler, "the sampler that runs from there"] = field(default_factory=DDIM)

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.base).init is not Sampler.init:
            raise PosterioriError(
                f"base is {self.base.name}, which starts in a way of its own: give another, like ddim"
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

"""RePaint: pastes the known part into every state, and repeatedly goes back to higher noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, final

from annotated_types import Ge

from posteriori.kernels import Variance, forward, reverse
from posteriori.likelihoods.base import Likelihood, Linear
from posteriori.priors.base import Prior
from posteriori.rng import Rng
from posteriori.sampler import State, SteppedSampler
from posteriori.schedule import Level, Schedule


@final
@dataclass(frozen=True, kw_only=True)
class RePaint(SteppedSampler):
    """Inpainting by replacement: the known part is noised and pasted into every state, with jumps back to more noise.

    x_s ~ p(x_s | x_t), then its known part is set to alpha_s y + sigma_s eps. After every ``jump`` steps the state is
    diffused up by as many, x_t ~ q(x_t | x_s), ``repeats`` - 1 times, so that the unknown part can adapt to the known
    part. y is assumed to be noiseless, and is copied to the sample.

    Paper: Lugmayr et al. 2022, "RePaint: inpainting using denoising diffusion probabilistic models", algorithm 1,
    section 4.2 and appendix.

    Operators: linear. The paper has masks only. For another A, A^+ (alpha_s y + sigma_s A eps) replaces A^+ A x_s.
    Cost: steps + jump (repeats - 1) ceil((steps - jump) / jump) network calls, 2,410 by default; no gradients.

    The paper's code pastes before the network call, with new noise, which gives the same law, but not into the last
    image. In the jump, the code's index of beta is right, and the paper's beta_{t-1} is off by one.
    """

    name: ClassVar[str] = "repaint"
    requires: ClassVar[type[Likelihood]] = Linear

    steps: Annotated[int, Ge(1), "levels, not counting the jumps"] = 250
    jump: Annotated[int, Ge(1), "length of a jump upwards, in levels"] = 10
    repeats: Annotated[int, Ge(1), "passes through each stretch of jump levels; 1 means no jumps"] = 10
    variance: Annotated[Variance, "variance of a DDPM step; auto: learned where the network has it"] = "auto"
    clip: Annotated[bool, "clamp the estimate of x_0 to the prior's bounds"] = True

    def path(self, schedule: Schedule) -> list[Level]:
        levels = super().path(schedule)[::-1]  # from clean to noisy
        path = []
        for k in reversed(range(len(levels))):
            path.append(levels[k])
            if k % self.jump == 1 % self.jump and 0 < k <= self.steps - self.jump:
                path += levels[k : k + self.jump + 1][::-1] * (self.repeats - 1)
        return path

    def step(self, state: State, s: Level, prior: Prior, like: Linear, rng: Rng) -> State:
        x_t, t = state.x, state.level
        noise = lambda: rng.normal(x_t.shape[1:])  # noqa: E731
        if s.t > t.t:
            return State(forward(x_t, s, noise(), t), s, state.n, state.x0, state.stats)
        x0, fraction, _ = prior.estimate(x_t, t, self.clip)
        x_s = reverse(x_t, x0, t, s, noise, variance=self.variance, fraction=fraction)
        eps = noise()
        x_s = s.alpha * like.prox((x_s - s.sigma * eps) / s.alpha, 0.0) + s.sigma * eps
        return State(x_s, s, state.n, x0)

"""The restorations that follow from the options of `posteriori restore`: one for all inputs, or one for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from posteriori.diagnosis.jpeg import find_jpeg
from posteriori.diagnosis.noise import find_noise
from posteriori.diagnosis.picture import Diagnosis, sigma_behind
from posteriori.errors import PosterioriError, UsageError
from posteriori.hub.load import load_prior, prior_record
from posteriori.images.files import read_bytes
from posteriori.images.fit import Fit, Region, read_region
from posteriori.jobs.lock import claimed_folder
from posteriori.jobs.memory import read_size, tile_within
from posteriori.likelihoods import GaussianNoise, Noise
from posteriori.operators import Identity, Mask
from posteriori.operators.rounding import Rounding
from posteriori.priors.base import Prior
from posteriori.priors.unet import UNetPrior
from posteriori.restore.blur import INEXACT, blur_of
from posteriori.restore.budget import read_duration, within
from posteriori.restore.inputs import Source, find_sources, size_of
from posteriori.restore.inputs import load as read
from posteriori.restore.intervals import IntervalRequest
from posteriori.restore.masks import Masks
from posteriori.restore.methods import OnePass, Posterior
from posteriori.restore.request import Request
from posteriori.restore.restoration import Restoration
from posteriori.restore.room import too_large
from posteriori.restore.scales import TwoScales
from posteriori.restore.summary import Outcome
from posteriori.sampler import Sampler
from posteriori.settings.choosing import DENOISER, choose, goal_of, is_auto, kind
from posteriori.settings.noise import AUTO, read_noise
from posteriori.settings.presets import default_steps
from posteriori.settings.text import Chain, Spec, read_operator, read_sampler

#: the prior of pictures of its size, and that of others, which takes any
FACES, FACES_SHAPE, PHOTO = "faces-64", (3, 64, 64), "photo"

#: the noise of what is simulated, and of arrays, where nothing is said of it
USUAL = "0.05"

#: what is done, and to which inputs
Plan = tuple[Restoration, Sequence[Source]]
#: looks at an input of which nothing is said
Look = Callable[[Source], Diagnosis]
#: finds in an input (1, C, H, W) what its operator's text leaves open
Find = Callable[[Source, Tensor, Chain], Chain]


def plans(request: Request, out: Path, look: Look, find: Find | None = None) -> tuple[Sequence[Plan], list[Outcome]]:
    """What is done to which inputs, and the inputs that cannot be read.

    ``look`` diagnoses each input if the degradation is not given, and ``find`` estimates its blur. The number of steps
    that fit into --time is kept in ``out``. Raises OSError or PosterioriError, UsageError among them.
    """
    if is_auto(request.sampler):
        goal_of(request.sampler)  # an unknown one is an error before any work
    duration = read_duration(request.time) if request.time else None
    planner = _Planner.of(request, look, find or (lambda source, x, asked: blur_of(x, source, asked, out)[0]))
    found, failed = planner.plans()
    if duration:
        each = duration / len(planner.sources)
        with claimed_folder(out):
            free = is_auto(request.sampler)
            found = [(within(one, own, each * len(own), out, free=free), own) for one, own in found]
    return found, failed


@dataclass(frozen=True)
class _Planner:
    """What a request says of all its restorations. ``noise`` and ``spec`` are None if they are still to be chosen."""

    request: Request
    degraded: Chain | None
    blind: bool
    sources: Sequence[Source]
    noise: Noise | None
    masks: Masks | None
    spec: Spec[Sampler] | None
    samples: int
    interval: IntervalRequest | None
    region: Region | None
    network: Prior
    record: dict[str, Any]
    load: Callable[[], Prior]
    look: Look
    find: Find

    @classmethod
    def of(cls, request: Request, look: Look, find: Find) -> _Planner:
        region = read_region(request.region) if request.region else None
        degraded, blind = request.degraded, request.blind
        sources = find_sources(request.files)
        noise = _noise(request, degraded, sources)
        masks = Masks.read(request.mask, sources, invert=request.mask_invert) if request.mask else None
        spec = None if is_auto(request.sampler) else read_sampler(request.sampler)
        samples = _samples(request, degraded, spec)
        interval = IntervalRequest(request.interval, request.widen) if request.interval is not None else None
        name = request.prior or usual_prior(
            sources[0],
            not (request.unknown or blind),
            degraded,
            simulate=request.simulate,
            fit=request.fit,
            scale=request.range,
            region=region,
        )
        load = partial(load_prior, name, device=request.device, dtype=request.dtype)
        network, record = load(), prior_record(name)
        bound_memory(network, request.max_memory, gradient=True)
        return cls(
            request=request,
            degraded=degraded,
            blind=blind,
            sources=sources,
            noise=noise,
            masks=masks,
            spec=spec,
            samples=samples,
            interval=interval,
            region=region,
            network=network,
            record=record,
            load=load,
            look=look,
            find=find,
        )

    def plans(self) -> tuple[list[Plan], list[Outcome]]:
        if self.noise is None or self.request.unknown or self.blind:
            return each_its_own(self.sources, self.by_picture)
        return [(self.restoration(self.degraded, self.noise), self.sources)], []

    def restoration(
        self, degraded: Chain | None, noise: Noise, masks: Masks | None = None, *, two_scales: bool = False
    ) -> Restoration:
        """That of pictures ``degraded`` in this way, or by ``masks``, by default the request's."""
        request, masks = self.request, masks or self.masks
        return Restoration(
            prior=self.network,
            prior_record=self.record,
            method=self.method(degraded, noise, masks, two_scales),
            operator=degraded,
            masks=masks,
            noise=noise,
            seed=request.seed,
            simulate=request.simulate,
            fit=request.fit,
            batch=request.batch,
            interval=self.interval,
            range=request.range,
            format=request.format,
            load=self.load,
            region=self.region,
        )

    def method(
        self, degraded: Chain | None, noise: Noise, masks: Masks | None, two_scales: bool
    ) -> OnePass | TwoScales | Posterior:
        """The sampler that is asked for, or that which was measured to be the best."""
        chosen, choice, steps = self.spec, None, self.request.steps
        if chosen is None:
            named = degraded.name if degraded else Mask.name
            own = kind(degraded.parts if degraded else (), noise, seen=masks.seen if masks else None)
            choice = choose(self.request.sampler, self.network.name, named, noise.level, samples=self.samples,
                            steps=steps, kind=own)  # fmt: skip
            if choice.sampler == DENOISER:
                return TwoScales() if two_scales else OnePass(choice)
            chosen = read_sampler(choice.sampler)
        count = chosen.cls.count
        if steps is not None and chosen.fields.get(count, steps) != steps:
            raise UsageError(f"--steps is {steps} and {count} {chosen.fields[count]}: give one of them")
        if chosen.cls.point and self.samples > 1:
            raise UsageError(f"{chosen.cls.name} gives one estimate: leave --samples out, or take another")
        asked = steps or (choice.steps if choice else default_steps(chosen.cls))
        return Posterior(chosen, asked, self.samples, choice)

    def by_picture(self, source: Source) -> Restoration:
        """That of one input, by what is found in it."""
        least = self.restoration(Chain((Spec(Identity, {}),)), read_noise(USUAL))
        if refused := too_large(least, [source]):
            raise refused[source]  # before it is read to find something in it
        if self.request.unknown:
            return self.by_diagnosis(source)
        degraded = self.degraded
        if self.request.noise is None and source.array and not self.blind:
            return self.restoration(degraded, read_noise(USUAL))
        x = read(source, None, None, arrays=True, scale=self.request.range).x
        found = find_noise(x, source.path)
        if degraded is None or degraded.name == Identity.name:
            return self.restoration(degraded, GaussianNoise(found.sigma))
        sigma = sigma_behind(found, find_jpeg(read_bytes(source.path)))
        if self.blind:
            noise = self.noise or GaussianNoise(max(sigma, INEXACT))
            return self.restoration(self.find(source, x, degraded), noise)
        return self.restoration(degraded, GaussianNoise(sigma))

    def by_diagnosis(self, source: Source) -> Restoration:
        """That of an input of which nothing is said."""
        found, noise = self.look(source), self.noise
        if found.scratches and found.scratched:
            return self.restoration(None, noise or GaussianNoise(0.0), Masks.of_scratches(source, found.scratches.mask))
        if found.codec and self.spec is None and noise is None and self.request.fit is None and self.region is None:
            return self.restoration(read_operator(found.codec), GaussianNoise(0.0))  # as it was decoded
        two = (found.told(noise.level) if noise else found.two_scales) and self.network.any_size
        return self.restoration(read_operator(found.operator), noise or GaussianNoise(found.sigma), two_scales=two)


def _noise(request: Request, degraded: Chain | None, sources: Sequence[Source]) -> Noise | None:
    """The noise of all inputs; None where it is found in each."""
    rounds = degraded is not None and len(degraded.parts) == 1 and issubclass(degraded.parts[0].cls, Rounding)
    exact = rounds or (request.mask and not request.simulate)
    given = exact or request.simulate or all(own.array for own in sources)
    found = request.unknown or request.blind or not given
    text = request.noise or (AUTO if found else "0" if exact else USUAL)
    return None if text == AUTO else read_noise(text)


def _samples(request: Request, degraded: Chain | None, spec: Spec[Sampler] | None) -> int:
    """The number of samples of each picture. PosterioriError if it is too small for an interval."""
    ambiguous = degraded is not None and any(part.cls.ambiguous for part in degraded.parts)
    samples = request.samples or (4 if ambiguous and not (spec and spec.cls.point) else 1)
    if request.interval is not None and samples < 2:
        raise PosterioriError(f"--interval needs 2 samples or more, --samples is {samples}: 8 is a good number")
    return samples


def usual_prior(
    first: Source,
    known: bool,
    degraded: Chain | None = None,
    *,
    simulate: bool,
    fit: Fit | None,
    scale: str | None,
    region: Region | None,
) -> str:
    """The prior where none is named: PHOTO, unless it is ``known`` what degraded the pictures.

    Then it is FACES with ``fit``, and where ``first`` has the size that FACES takes, or cannot be read, which is
    reported later. Where ``degraded`` is None, a measurement has its picture's size.
    """
    if not known:
        return PHOTO
    if fit:
        return FACES
    measures = FACES_SHAPE if simulate or degraded is None else degraded.build(FACES_SHAPE).measured_shape
    size = size_of(first)
    if size and region is None and size != measures[-2:]:
        return PHOTO
    try:
        x = read(first, None, None, arrays=not simulate, scale=scale, region=region).x
    except (OSError, PosterioriError):
        return FACES
    return FACES if tuple(x.shape[-2:]) == measures[-2:] else PHOTO


def each_its_own(sources: Sequence[Source], plan: Callable[[Source], Restoration]) -> tuple[list[Plan], list[Outcome]]:
    """A restoration for each source, by the diagnosis of ``plan``; and the sources that cannot be read."""
    plans: list[Plan] = []
    failed = []
    for source in sources:
        try:
            plans.append((plan(source), [source]))
        except UsageError:
            raise
        except (OSError, PosterioriError) as error:
            failed.append(Outcome(source, error=error))
    return plans, failed


def bound_memory(prior: Prior, size: str | None, *, gradient: bool) -> None:
    """Makes ``prior`` cut images into tiles of at most ``size`` bytes, if given and if it takes any size."""
    if size is None:
        return
    if not prior.any_size or not isinstance(prior, UNetPrior):
        raise PosterioriError(
            f"--max-memory is for priors of any size, like photo, and {prior.name} has one: give --batch"
        )
    prior.tile = tile_within(prior, read_size(size), gradient=gradient)

"""The options of `posteriori restore`, and the restorations that follow: one for all inputs, or one for each."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from torch import Tensor

from posteriori.diagnosis.jpeg import find_jpeg
from posteriori.diagnosis.noise import find_noise
from posteriori.diagnosis.picture import Diagnosis, sigma_behind
from posteriori.errors import PosterioriError, UsageError
from posteriori.hub.load import load_prior, prior_record
from posteriori.images.files import read_bytes
from posteriori.images.fit import Fit, Region, read_region
from posteriori.images.written import Format
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
from posteriori.restore.restoration import Restoration
from posteriori.restore.room import too_large
from posteriori.restore.scales import TwoScales
from posteriori.restore.summary import Outcome
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


@dataclass(frozen=True)
class Request:
    """The options of `posteriori restore` that affect the pictures, as typed; its help explains them.

    Raises UsageError if two of them contradict each other.
    """

    files: tuple[str, ...]
    operator: str | None = None
    sampler: str = "auto"
    noise: str | None = None
    simulate: bool = False
    samples: int | None = None
    interval: float | None = None
    widen: float = 1.0
    steps: int | None = None
    time: str | None = None
    mask: str | None = None
    mask_invert: bool = False
    fit: Fit | None = None
    range: str | None = None
    format: Format | None = None
    region: str | None = None
    max_memory: str | None = None
    prior: str | None = None
    seed: int = 0
    batch: int | None = None
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if not self.unknown and (self.mask is None) == (self.operator in (None, Mask.name)):
            raise UsageError("say what degraded the pictures: give --operator SPEC or --mask FILE, not both")
        degraded, blind = self._degraded, self._blind
        if degraded and blind and len(degraded.parts) > 1:
            raise UsageError("a blur is found where it is all that degraded the picture: leave out what @ adds")
        if self.simulate and (self.unknown or blind or self.noise == AUTO):
            missing = "--operator SPEC or --mask FILE" if self.unknown else "--noise SIGMA"
            missing = "an --operator without auto" if blind else missing
            raise UsageError(f"--simulate degrades pictures: say how, by {missing}")
        if self.mask_invert and self.mask is None:
            raise UsageError("--mask-invert swaps the colours of a mask: give --mask FILE too")
        if self.interval is None and self.widen != 1:
            raise UsageError("--widen is for intervals: give --interval too, like 0.9")
        if self.time and self.steps:
            raise UsageError("--time chooses the steps: give it or --steps, not both")

    @property
    def unknown(self) -> bool:
        """Whether the degradation is not given."""
        return self.mask is None and self.operator is None

    @property
    def _degraded(self) -> Chain | None:
        """What is said of it, but for a mask."""
        return None if self.mask or self.unknown else read_operator(self.operator or "")

    @property
    def _blind(self) -> bool:
        """Whether its blur must be estimated from the picture."""
        return self._degraded is not None and self._degraded.unknown is not None

    def command(self, out: str) -> str:
        """The command line that makes the same pictures, with results in ``out``."""
        words = ["posteriori", "restore", *self.files]
        for field in fields(self)[1:]:
            value, option = getattr(self, field.name), f"--{field.name.replace('_', '-')}"
            if value != field.default:
                words += [option] if value is True else [option, str(value)]
        return shlex.join([*words, "--out", out])

    def plans(self, out: Path, look: Look, find: Find | None = None) -> tuple[Sequence[Plan], list[Outcome]]:
        """What is done to which inputs, and the inputs that cannot be read.

        ``look`` diagnoses each input if the degradation is not given, and ``find`` estimates its blur. The number of
        steps that fit into --time is kept in ``out``. Raises OSError or PosterioriError, UsageError among them.
        """
        if is_auto(self.sampler):
            goal_of(self.sampler)  # an unknown one is an error before any work
        duration = read_duration(self.time) if self.time else None
        part = read_region(self.region) if self.region else None
        degraded, blind = self._degraded, self._blind
        find = find or (lambda source, x, asked: blur_of(x, source, asked, out)[0])
        rounds = degraded is not None and len(degraded.parts) == 1 and issubclass(degraded.parts[0].cls, Rounding)
        exact = rounds or (self.mask and not self.simulate)
        sources = find_sources(self.files)
        estimated = self.unknown or blind or not (exact or self.simulate or all(own.array for own in sources))
        noise = self.noise or (AUTO if estimated else "0" if exact else USUAL)
        said = None if noise == AUTO else read_noise(noise)
        masks = Masks.read(self.mask, sources, invert=self.mask_invert) if self.mask else None
        spec = None if is_auto(self.sampler) else read_sampler(self.sampler)
        as_decoded = spec is None and said is None and self.fit is None and part is None
        ambiguous = degraded is not None and any(part.cls.ambiguous for part in degraded.parts)
        samples = self.samples or (4 if ambiguous and not (spec and spec.cls.point) else 1)
        if self.interval is not None and samples < 2:
            raise PosterioriError(f"--interval needs 2 samples or more, --samples is {samples}: 8 is a good number")
        interval = IntervalRequest(self.interval, self.widen) if self.interval is not None else None
        steps, known = self.steps, not (self.unknown or blind)
        name = self.prior or usual_prior(
            sources[0], known, degraded, simulate=self.simulate, fit=self.fit, scale=self.range, region=part
        )
        load = partial(load_prior, name, device=self.device, dtype=self.dtype)
        network, record = load(), prior_record(name)
        bound_memory(network, self.max_memory, gradient=True)

        def planned(
            degraded: Chain | None, model: Noise, masks: Masks | None = masks, two_scales: bool = False
        ) -> Restoration:
            chosen, choice = spec, None
            if chosen is None:
                named = degraded.name if degraded else Mask.name
                own = kind(degraded.parts if degraded else (), model, seen=masks.seen if masks else None)
                choice = choose(self.sampler, network.name, named, model.level, samples=samples, steps=steps, kind=own)
                chosen = None if choice.sampler == DENOISER else read_sampler(choice.sampler)
            if chosen is None:
                method: OnePass | TwoScales | Posterior = TwoScales() if two_scales else OnePass(choice)
            else:
                count = chosen.cls.count
                if steps is not None and chosen.fields.get(count, steps) != steps:
                    raise UsageError(f"--steps is {steps} and {count} {chosen.fields[count]}: give one of them")
                if chosen.cls.point and samples > 1:
                    raise UsageError(f"{chosen.cls.name} gives one estimate: leave --samples out, or take another")
                asked = steps or (choice.steps if choice else default_steps(chosen.cls))
                method = Posterior(chosen, asked, samples, choice)
            return Restoration(
                prior=network,
                prior_record=record,
                method=method,
                operator=degraded,
                masks=masks,
                noise=model,
                seed=self.seed,
                simulate=self.simulate,
                fit=self.fit,
                batch=self.batch,
                interval=interval,
                range=self.range,
                format=self.format,
                load=load,
                region=part,
            )

        def by_picture(source: Source) -> Restoration:
            least = planned(Chain((Spec(Identity, {}),)), read_noise(USUAL))
            if refused := too_large(least, [source]):
                raise refused[source]  # before it is read to find something in it
            if self.unknown:
                found = look(source)
                if found.scratches and found.scratched:
                    return planned(None, said or GaussianNoise(0.0), Masks.of_scratches(source, found.scratches.mask))
                if found.codec and as_decoded:
                    return planned(read_operator(found.codec), GaussianNoise(0.0))
                two = (found.told(said.level) if said else found.two_scales) and network.any_size
                return planned(read_operator(found.operator), said or GaussianNoise(found.sigma), two_scales=two)
            if self.noise is None and source.array and not blind:
                return planned(degraded, read_noise(USUAL))
            x = read(source, None, None, arrays=True, scale=self.range).x
            found_noise = find_noise(x, source.path)
            if degraded is None or degraded.name == Identity.name:
                return planned(degraded, GaussianNoise(found_noise.sigma))
            sigma = sigma_behind(found_noise, find_jpeg(read_bytes(source.path)))
            if blind:
                return planned(find(source, x, degraded), said or GaussianNoise(max(sigma, INEXACT)))
            return planned(degraded, GaussianNoise(sigma))

        if said is None or self.unknown or blind:
            plans, failed = each_its_own(sources, by_picture)
        else:
            plans, failed = [(planned(degraded, said), sources)], []
        if duration:
            each = duration / len(sources)
            with claimed_folder(out):
                free = is_auto(self.sampler)
                plans = [(within(one, own, each * len(own), out, free=free), own) for one, own in plans]
        return plans, failed


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

"""What every sampler keeps, written once."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

import posteriori
from posteriori.likelihoods import Flat, Gaussian
from posteriori.likelihoods.base import Marginal, Spectral
from posteriori.loop import sample
from posteriori.operators import CT, Identity, MulticoilMRI
from posteriori.priors.base import Denoised
from posteriori.priors.mixture import GaussianMixture
from posteriori.sampler import Sampler
from posteriori.samplers import (
    DAPS,
    DCPS,
    DDIM,
    DDNM,
    DDRM,
    DPS,
    MALA,
    MGDM,
    MMPS,
    SAMPLERS,
    SITCOM,
    TDS,
    TMPD,
    AnnealedLangevin,
    DiffPIR,
    MCGDiff,
    PiGDM,
    PnPDM,
    REDDiff,
    RePaint,
    Reverse,
    ScoreALD,
    SDEdit,
)
from posteriori.settings.fields import class_fields
from tests.helpers import (
    IMAGE,
    Bulk,
    as_network,
    covariance,
    image_mixture,
    named,
    normal,
    small_operators,
    standard_errors_off,
    without_clip,
)

PRIOR = image_mixture()
MASK, BLUR = small_operators()[2:4]
#: those that these tests need with other settings than their own
SET = [
    SDEdit(t_start=200, base=DDIM(steps=50)),
    ScoreALD(steps=50, lambda_T=0.7, lambda_0=1.0),
    DPS(steps=50, scale=0.6),
    DPS(steps=50, scale=1.0, gradient="norm"),
    DPS(steps=50, scale=0.2, gradient="square"),
    AnnealedLangevin(levels=50, inner=2),
    RePaint(steps=50, repeats=2),
    PiGDM(steps=50),
    PiGDM(steps=50, weight="score", data_var=0.1),
    Reverse(guidance=MMPS(steps=50, iterations=1)),
    Reverse(guidance=DiffPIR(steps=50), integrator="dpm-solver++"),
    DAPS(steps=50, ode_steps=2, langevin_steps=4),
    SITCOM(steps=50, inner=4),
    MGDM(steps=50, gradient_steps=2, late_steps=3, denoising_steps=3),
    TDS(steps=50, data_var=0.1),
    PnPDM(steps=50, inner=3),
    MALA(levels=50, inner=2),
]
PLAIN = [cls().with_steps(50) for cls in SAMPLERS if cls not in {DDIM, *map(type, SET)}]
CONDITIONAL = [*SET, *PLAIN]
INSTANCES = [DDIM(steps=50), DDIM(steps=50, eta=0.0), *CONDITIONAL]


def name(sampler):
    parts = ["eta0" if getattr(sampler, "eta", 1) == 0 else "", getattr(sampler, "gradient", "")]
    return "-".join(
        filter(None, [sampler.name, *parts, getattr(sampler, "weight", ""), getattr(sampler, "integrator", "")])
    )


def each(samplers=INSTANCES, steps=None):
    chosen = [sampler.with_steps(steps) if steps else sampler for sampler in samplers]
    return pytest.mark.parametrize("sampler", chosen, ids=name)


def used(sampler):
    """What its tests measure with: RePaint takes y to have no noise, which leaves nothing open in a blurred image."""
    return MASK if isinstance(sampler, RePaint) else BLUR


def measured(operator=BLUR, n=3, sigma=0.2):
    return Gaussian.simulate(PRIOR.draw(n), operator, sigma)


def run(sampler, like=None, prior=PRIOR, **settings):
    return sample(prior, like or measured(), sampler, progress=False, **settings)


def close(a, b):
    torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-5)


def test_every_sampler_is_listed_tried_and_exported():
    assert set(SAMPLERS) == named(SAMPLERS, Sampler)
    assert {type(sampler) for sampler in INSTANCES} == set(SAMPLERS)
    assert len({sampler.name for sampler in SAMPLERS}) == len(SAMPLERS)
    assert all(getattr(posteriori, cls.__name__) is cls for cls in SAMPLERS)
    assert {cls.__name__ for cls in SAMPLERS} < set(posteriori.__all__) < set(dir(posteriori))


def check_batches(sampler):
    like = measured()
    together = run(sampler, like, n=2)
    assert together.shape == (3, 2, *IMAGE)
    assert together.dtype == torch.float32
    assert not together.requires_grad
    for batch in (1, 2, 4, 5):
        close(run(sampler, like, n=2, batch=batch), together)
    for k in range(3):
        close(run(sampler, like.select(slice(k, k + 1)), n=2)[0], together[k])
    apart = together[:, 0].flatten(1)
    if not sampler.interacting:  # particles depend on their number, and the last resampling may repeat one
        close(run(sampler, like, n=1), together[:, :1])
        apart = together.flatten(0, 1).flatten(1)
    if sampler.point:
        assert torch.equal(together[:, 0], together[:, 1])
        apart = together[:, 0].flatten(1)
    assert torch.pdist(apart).min() > 0.01  # and yet all samples differ, by far more than rounding


@each(steps=15)
def test_batches_change_nothing(sampler):
    check_batches(sampler)


def test_a_norm_over_the_batch_is_noticed():
    class Coupled(DPS):
        def correction(self, g, norm, residual, u):
            return self.scale * g / g.norm()

    with pytest.raises(AssertionError):
        check_batches(Coupled(steps=15, scale=0.6))


@each(steps=15)
def test_an_image_alone_equals_the_image_in_a_folder(sampler):
    folder = PRIOR.draw(3)
    alone = Gaussian.simulate(folder[1:2], BLUR, 0.2)
    close(run(sampler, alone)[0], run(sampler, Gaussian.simulate(folder, BLUR, 0.2))[1])


@each(steps=15)
def test_seeds(sampler):
    like = measured(used(sampler))
    first = run(sampler, like, seed=1)
    assert torch.equal(first, run(sampler, like, seed=1))
    moved = (first - run(sampler, like, seed=2)).abs().flatten(1).amax(1)
    assert moved.max() == 0 if sampler.point else moved.min() > 0.05
    # keys take the place of the measurements' content
    twice = Gaussian(like.y[[0, 0]], used(sampler), 0.2)
    a, b = run(sampler, twice, keys=[4, 5])
    assert sampler.point or (a - b).abs().max() > 0.05
    a, b = run(sampler, twice, keys=[4, 4])
    close(a, b)


@each(steps=5)
def test_global_random_state_is_left_alone(sampler):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(sampler)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


@each(steps=15)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_mixture_equals_the_network_that_predicts_it(sampler, prediction):
    sampler = without_clip(sampler)
    network = as_network(PRIOR, prediction)
    # a network that estimates eps rounds x0 by float32's eps times sigma / alpha, 157 at the first of the 15 steps
    rounding = 15 * torch.finfo(torch.float32).eps * PRIOR.schedule.sigma_bars[0]
    torch.testing.assert_close(run(sampler, prior=network), run(sampler), atol=rounding, rtol=rounding)


@each(steps=15)
def test_clip_keeps_to_the_priors_bounds(sampler):
    network = as_network(PRIOR, "epsilon")
    network.bounds = (-0.3, 0.3)
    records = []
    run(sampler, prior=network, callbacks=[lambda state, *_: records.append(state.x0.abs().max())])
    assert max(records) <= 0.3
    run(without_clip(sampler), prior=network, callbacks=[lambda state, *_: records.append(state.x0.abs().max())])
    assert max(records) > 0.3


@each(steps=15)
@pytest.mark.parametrize("operator", small_operators(), ids=lambda operator: operator.name)
def test_finite_on_every_operator(sampler, operator):
    like = measured(operator)
    stats = []
    x = run(sampler, like, callbacks=[lambda state, *_: stats.append(state.stats)])
    assert torch.isfinite(x).all()
    assert all(value.shape == (3,) and torch.isfinite(value).all() for stat in stats for value in stat.values())
    assert all("residual" in stat for stat in stats)


@each(steps=5)
@pytest.mark.parametrize("operator", [MulticoilMRI(IMAGE, coils=2), CT(IMAGE, views=8)], ids=lambda o: o.name)
def test_finite_without_an_svd_or_refused(sampler, operator):
    like = measured(operator)
    if issubclass(sampler.requires, Spectral | Marginal):
        with pytest.raises(ValueError, match=r"needs an operator with an SVD.*: take one of .*dps"):
            run(sampler, like)
    else:
        assert torch.isfinite(run(sampler, like)).all()


def nearness(sampler):
    """Mean square from the truth of one sample for each of 64 noisy draws; 0.29 where the data are ignored."""
    truth = PRIOR.draw(64, seed=1)
    like = Gaussian.simulate(truth, Identity(IMAGE), 0.3)
    return (run(sampler, like)[:, 0] - truth).square().mean().item()


@each(CONDITIONAL)
def test_data_bring_samples_nearer_to_the_truth(sampler):
    assert nearness(sampler) < 0.4 * nearness(DDIM(steps=50))


@each([s for s in CONDITIONAL if isinstance(s, DPS | ScoreALD)])
def test_a_gradient_of_the_wrong_sign_is_noticed(sampler, monkeypatch):
    right = type(sampler).correction
    monkeypatch.setattr(type(sampler), "correction", lambda self, *given: -right(self, *given))
    with pytest.raises(AssertionError):
        test_data_bring_samples_nearer_to_the_truth(sampler)


# A wide Gaussian: with 1000 steps the discretisation takes 0.7 % off its variances (eta = 1; in closed form),
# half of the Monte-Carlo error of a variance from 10 000 samples, 1.4 %. Noise times 1.05 adds 10 %, seven errors.
MEAN, COVARIANCE, ROWS = normal(4, seed=5), 10 * covariance(4, seed=1), 10_000
WIDE = GaussianMixture(MEAN[None], COVARIANCE[None])
ALONE = [DDIM(), DDIM(eta=0.0), DPS(), ScoreALD(), RePaint(steps=1000, jump=500, repeats=2)]


def check_prior_is_recovered(sampler, factor=1.0):
    x = run(sampler, Flat(ROWS, (4,)), WIDE, rng=lambda rows: Bulk(ROWS, factor=factor))[:, 0]
    assert standard_errors_off(x, MEAN.double(), COVARIANCE) < 4


@each(ALONE)
def test_the_prior_is_recovered_without_data(sampler):
    check_prior_is_recovered(sampler)


@each(ALONE[:3])
def test_noise_times_1_05_is_noticed(sampler):
    with pytest.raises(AssertionError):
        check_prior_is_recovered(sampler, factor=1.05)


def test_samplers_agree_under_flat():
    like = Flat(3, IMAGE)
    particles = run(DDIM(steps=15), like, n=4)
    for sampler in (TDS(steps=15), MCGDiff(steps=15)):  # which begin at a random particle
        close(run(sampler, like, n=4).sort(1).values, particles.sort(1).values)
    guided = [cls(steps=15) for cls in (DPS, ScoreALD, PiGDM, MMPS, TMPD)]
    for sampler in (*guided, PiGDM(steps=15, weight="score"), SDEdit(t_start=1000, base=DPS(steps=15))):
        close(run(sampler, like), run(DDIM(steps=15), like))
    for given in guided[2:]:
        close(run(Reverse(guidance=given, integrator="ancestral"), like), run(DDIM(steps=15), like))
    same = {"steps": 15, "spacing": "quadratic"}
    close(run(DDNM(eta=0.6, **same), like), run(DDIM(eta=0.6, **same), like))
    for sampler in (DDRM(eta=0.0, **same), DiffPIR(zeta=0.0, **same)):
        close(run(sampler, like), run(DDIM(eta=0.0, **same), like))
    for given in (DDNM(**same), DiffPIR(**same)):
        close(run(Reverse(guidance=given, integrator="ddim"), like), run(DDIM(eta=0.0, **same), like))


class Broken(GaussianMixture):
    """A prior whose answers turn to NaN below a time."""

    below = 500.0

    def denoise(self, x_t, t):
        return Denoised(super().denoise(x_t, t).x0 * (1.0 if t.t > self.below else float("nan")))


@each(steps=10)
@pytest.mark.parametrize("below", [500, 1001])
def test_nan_is_an_error(sampler, below):
    broken = Broken(PRIOR.means.unflatten(1, IMAGE), PRIOR.covariances, PRIOR.weights)
    broken.below = below
    with pytest.raises(
        FloatingPointError, match=r"reached NaN or infinity at step \d+ of \d+ \(t = .*sigma = "
    ) as error:
        run(sampler, prior=broken)
    if below > 1000:  # at every level, as a damaged network is: no setting of the sampler's helps
        assert "the prior gives that for plain noise, too: check its weights, or its dtype" in str(error.value)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (DPS(steps=10, gradient="norm", scale=1e40), r"DPS .* at step 1 of 10 \(t = 889,.*lower scale \(now 1e\+40\)"),
        (
            ScoreALD(steps=10, lambda_0=1e40, lambda_T=1e40),
            r"at step 1 of 10 \(t = 889,.*lower lambda_0 \(now 1e\+40\)",
        ),
        (AnnealedLangevin(levels=10, step_size=1e30), r"at step 1 of 10 .*lower step_size \(now 1e\+30\)"),
        (DAPS(steps=10, step_size=1e30), r"at step 1 of 10 .*lower step_size \(now 1e\+30\)"),
    ],
)
def test_an_explosion_names_what_to_lower(sampler, message):
    with pytest.raises(FloatingPointError, match=message):
        run(sampler)


def test_what_does_not_fit_is_refused():
    like = measured()
    with pytest.raises(ValueError, match="n is 0"):
        run(DDIM(), like, n=0)
    with pytest.raises(ValueError, match="batch is 0"):
        run(DDIM(), like, batch=0)
    with pytest.raises(ValueError, match="2 keys for 3 measurements"):
        run(DDIM(), like, keys=[1, 2])
    with pytest.raises(ValueError, match=r"about \(3, 8, 8\), the prior about \(4,\)"):
        run(DDIM(), like, WIDE)
    for bad in ({"steps": 0}, {"eta": -0.1}, {"eta": 1.1}):
        with pytest.raises(ValueError, match=r"(steps|eta) is"):
            DDIM(**bad)
    for bad in ({"levels": 0}, {"inner": 0}):
        with pytest.raises(ValueError, match="give at least 1"):
            AnnealedLangevin(**bad)


@pytest.mark.parametrize("cls", SAMPLERS)
def test_no_field_takes_what_cannot_be(cls):
    beyond = {int: [0, -1], float: [-1e-9, math.nan, math.inf], str: ["odd"]}
    for field in class_fields(cls):
        for bad in beyond.get(float if field.type is float else type(field.default), []):
            with pytest.raises(ValueError, match=f"^{field.name} is {bad!r}: give .+"):
                cls(**{field.name: bad})


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (AnnealedLangevin, ["step_size"]),
        (DAPS, ["step_size", "tau", "sigma_max", "sigma_min"]),
        (DCPS, ["step_length", "gamma"]),
        (MALA, ["step_size"]),
        (MGDM, ["learning_rate"]),
        (PiGDM, ["data_var"]),
        (PnPDM, ["rho_max", "rho_min"]),
        (REDDiff, ["learning_rate"]),
        (SDEdit, ["t_start"]),
        (SITCOM, ["learning_rate"]),
        (TDS, ["data_var"]),
    ],
)
def test_what_divides_or_moves_is_above_0(cls, fields):
    for field in fields:
        with pytest.raises(ValueError, match=f"^{field} is 0: give a finite number above 0"):
            cls(**{field: 0})


@pytest.mark.parametrize(
    ("cls", "fields"), [(DDIM, ["eta"]), (DDNM, ["eta"]), (DDRM, ["eta", "eta_b"]), (DiffPIR, ["zeta"])]
)
def test_shares_are_up_to_1(cls, fields):
    for field in fields:
        cls(**{field: 0}), cls(**{field: 1})
        with pytest.raises(ValueError, match=f"^{field} is 1.01: give a finite number from 0 up to 1"):
            cls(**{field: 1.01})


@pytest.mark.parametrize(("cls", "low", "high"), [(DAPS, "sigma_min", "sigma_max"), (PnPDM, "rho_min", "rho_max")])
def test_levels_fall(cls, low, high):
    with pytest.raises(ValueError, match=f"^{low} is 2, {high} 2: give a {low} below {high}"):
        cls(**{low: 2, high: 2})


@each(steps=7)
def test_with_steps(sampler):
    assert sampler == replace(sampler)
    path = sampler.path(PRIOR.schedule)
    if not isinstance(sampler, SDEdit):  # whose path is what lies below t_start
        assert len(path) == 8
    assert path[-1].sigma == 0
    assert all(a.sigma > b.sigma for a, b in pairwise(path))

import math
import warnings

import pytest
import torch

from posteriori.operators import BoxMask, GaussianBlur, Identity, Mask, PhaseRetrieval
from posteriori.priors.mixture import GaussianMixture
from posteriori.samplers import DDIM, DDRM, DPS, AnnealedLangevin, DiffPIR, PiGDM, PnPDM, ScoreALD, SDEdit
from posteriori.schedule import linear_betas
from posteriori.settings import presets
from posteriori.settings.choosing import choose
from posteriori.settings.presets import default_steps, preset, resolve
from posteriori.settings.text import read_sampler


def prior(name):
    found = GaussianMixture(torch.zeros(1, 1), torch.ones(1, 1, 1))
    found.name = name
    return found


def blur(side):
    return GaussianBlur((3, side, side), sigma=3.0 * side / 256)


def box(side):
    return BoxMask((3, side, side))


FFHQ, OTHER = prior("ffhq-256"), prior("some-other-prior")


@pytest.mark.parametrize(
    ("sampler", "operator", "given", "fields"),
    [
        (DPS, blur(256), {}, {"scale": 0.3}),
        (DPS, box(256), {}, {"scale": 1.0}),
        (DPS, box(256), {"gradient": "unit"}, {"scale": 1.0}),
        (DPS, blur(256), {"gradient": "norm"}, {"scale": 0.3}),
        (DPS, box(256), {"gradient": "norm"}, {"scale": 0.5}),
        (ScoreALD, blur(256), {}, {"lambda_T": 10.0, "lambda_0": 15.0}),
        (ScoreALD, box(256), {}, {"lambda_T": 15.0, "lambda_0": 20.0}),
    ],
)
def test_the_reports_settings(sampler, operator, given, fields):
    resolved = resolve(sampler, operator, FFHQ, steps=1000, sigma=0.05, **given)
    assert resolved.sampler == sampler(steps=1000, **fields, **given)
    assert resolved.warning == ""
    assert all("section 3" in resolved.sources[name] or "Chung" in resolved.sources[name] for name in fields)
    assert {name: resolved.sources[name] for name in given} == dict.fromkeys(given, "given")
    with warnings.catch_warnings(action="error"):
        assert preset(sampler, operator, FFHQ, sigma=0.05, **given) == resolved.sampler


@pytest.mark.parametrize(
    ("sampler", "operator", "fields"),
    [
        (DPS, blur(64), {"scale": 0.3 / 4}),
        (DPS, box(64), {"scale": 1.0 / 4}),
        (DPS, blur(256), {"scale": 0.3}),
        (DPS, Identity((3, 128, 128)), {"scale": 1.0 / 2}),  # the class's own value
        (ScoreALD, box(64), {"lambda_T": 15.0 / 4, "lambda_0": 20.0 / 4}),
    ],
)
def test_without_an_entry_the_papers_length_is_scaled_with_the_side(sampler, operator, fields):
    side = operator.shape[-1]
    resolved = resolve(sampler, operator, OTHER, steps=500, sigma=0.05)
    given = {name: getattr(resolved.sampler, name) for name in fields}
    assert given == pytest.approx({name: 2 * value for name, value in fields.items()})
    source = "the paper's value" + (f" times {side}/256 px" if side < 256 else "") + " times 1000/500 steps"
    assert resolved.sources == dict.fromkeys(fields, source)
    for part in (sampler.name, operator.name, "some-other-prior", f"{side} px", "500 steps", *fields):
        assert part in resolved.warning
    with pytest.warns(UserWarning, match="no preset of .* was measured for"):
        assert preset(sampler, operator, OTHER, steps=500, sigma=0.05) == resolved.sampler


def test_any_mask_has_the_presets_of_a_box():
    small, shape = prior("faces-64"), (3, 64, 64)
    assert resolve(DPS, Mask(shape), small, steps=250, sigma=0.05) == resolve(
        DPS, BoxMask(shape), small, steps=250, sigma=0.05
    )


def test_lengths_measured_at_other_steps_are_scaled_from_the_nearest():
    small = prior("faces-64")
    at = {steps: resolve(DPS, blur(64), small, steps=steps, sigma=0.05).sampler.scale for steps in (100, 250, 1000)}
    for steps, nearest in ((50, 100), (400, 250), (600, 1000)):
        expected = at[nearest] * nearest / steps
        resolved = resolve(DPS, blur(64), small, steps=steps, sigma=0.05)
        assert resolved.sampler.scale == pytest.approx(expected)
        assert resolved.sources["scale"].startswith("the value measured times")
        assert resolved.warning


def test_fields_that_are_no_lengths_are_taken_from_the_nearest_as_they_are():
    measured, other = (resolve(PiGDM, blur(64), prior("faces-64"), steps=steps, sigma=0.05) for steps in (100, 30))
    assert (other.sampler.data_var, other.sampler.weight) == (measured.sampler.data_var, measured.sampler.weight)
    assert not measured.warning
    assert other.warning.endswith(
        "30 steps and noise 0.05: data_var = 0.3, weight = adaptive is the value measured at 64 px and 100 steps"
    )


def test_steps_and_size_are_part_of_the_key():
    assert not resolve(DPS, blur(256), FFHQ, steps=1000, sigma=0.05).warning
    assert resolve(DPS, blur(256), FFHQ, steps=999, sigma=0.05).warning
    assert resolve(DPS, blur(64), FFHQ, steps=1000, sigma=0.05).warning


@pytest.mark.parametrize("named", [FFHQ, OTHER])
def test_given_fields_win(named):
    resolved = resolve(DPS, blur(256), named, steps=100, sigma=0.05, scale=7.0, eta=0.5)
    assert resolved.sampler == DPS(steps=100, scale=7.0, eta=0.5)
    assert resolved.sources == {"scale": "given", "eta": "given"}
    assert resolved.warning == ""
    one = resolve(ScoreALD, blur(64), named, steps=100, sigma=0.05, lambda_0=2.0)
    assert one.sampler == ScoreALD(steps=100, lambda_T=25.0, lambda_0=2.0)
    assert "lambda_T = 25" in one.warning
    assert "lambda_0" not in one.warning


@pytest.mark.parametrize("sampler", [DDIM, SDEdit, AnnealedLangevin])
def test_samplers_without_lengths_need_no_preset(sampler):
    resolved = resolve(sampler, blur(64), OTHER, steps=30, sigma=0.05)
    assert resolved.sampler == sampler().with_steps(30)
    assert (resolved.sources, resolved.warning) == ({}, "")


@pytest.mark.parametrize(("sampler", "count"), [(DPS, "steps"), (AnnealedLangevin, "levels")])
def test_a_given_number_of_steps_wins(sampler, count):
    resolved = resolve(sampler, blur(256), FFHQ, **{"steps": 1000, "sigma": 0.05} | {count: 70})
    assert len(resolved.sampler.path(linear_betas())) == 70 + 1
    assert getattr(resolved.sampler, count) == 70


def test_a_sampler_inside_another_has_presets_too():
    spec = read_sampler("sdedit(t_start=300, base=dps(eta=0.5))")
    resolved = resolve(spec.cls, blur(256), FFHQ, steps=1000, sigma=0.05, **spec.fields)
    assert resolved.sampler == SDEdit(t_start=300, base=DPS(scale=0.3, eta=0.5))
    assert resolved.sources["base.scale"] == "the report, section 3.5"
    assert (resolved.sources["t_start"], resolved.sources["base.eta"]) == ("given", "given")
    assert resolved.warning == ""
    spec = read_sampler("sdedit(base=dps(steps=70))")
    resolved = resolve(spec.cls, blur(64), OTHER, steps=1000, sigma=0.05, **spec.fields)
    assert resolved.sampler == SDEdit(base=DPS(steps=70, scale=0.3 / 4 * 1000 / 70))
    assert "no preset of dps was measured" in resolved.warning


def test_unknown_fields_are_errors():
    with pytest.raises(ValueError, match=r"no field .scael.; it has .*scale"):
        resolve(DPS, blur(256), FFHQ, steps=1000, sigma=0.05, scael=0.3)


def test_lengths_measured_at_another_size_are_scaled_with_the_root_of_the_pixels():
    small = prior("faces-64")
    at_64 = resolve(DPS, blur(64), small, steps=250, sigma=0.05).sampler.scale
    wide = resolve(DPS, GaussianBlur((3, 96, 150), sigma=1.5), small, steps=250, sigma=0.05)
    assert wide.sampler.scale == pytest.approx(at_64 * 120 / 64)
    assert wide.sources["scale"] == "the value measured times 120/64 px"
    assert wide.warning


def test_steps_are_the_papers_up_to_a_limit():
    assert [default_steps(cls) for cls in (DPS, DDRM, SDEdit, AnnealedLangevin)] == [250, 20, 250, 250]
    assert [default_steps(cls, 1000) for cls in (DPS, DDRM, SDEdit)] == [1000, 20, 1000]


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("operator", [blur(64), box(128)])
def test_with_an_unknown_prior_what_is_derived_goes_before_the_papers_value(operator, sigma):
    resolved = resolve(DiffPIR, operator, OTHER, steps=30, sigma=sigma)
    assert (resolved.sampler.lambda_, resolved.sampler.zeta) == (1.0, 1.0)
    assert resolved.sources["lambda_"].startswith("derived for any prior")
    assert resolved.warning == ""


def entry(noise, **fields):
    common = {"sampler": "dps", "operator": "gaussian-blur", "prior": "mine", "size": 64, "steps": 100}
    return common | {"noise": noise, "fields": fields, "source": f"measured at {noise}"}


@pytest.fixture
def measured_at_two_noises(monkeypatch):
    found = [entry(0.2, scale=1.0, gradient="unit"), entry(0.02, scale=4.0, gradient="norm")]
    monkeypatch.setattr("posteriori.settings.presets._entries", lambda: found)


@pytest.mark.parametrize(
    ("sigma", "scale", "gradient", "source"),
    [
        (0.2, 1.0, "unit", "measured at 0.2"),
        (0.02, 4.0, "norm", "measured at 0.02"),
        (math.sqrt(0.2 * 0.02), 2.0, "norm", "the value measured between noise 0.02 and 0.2"),
        (0.1, 4 ** (math.log10(0.2) - math.log10(0.1)), "unit", "the value measured between noise 0.02 and 0.2"),
    ],
)
@pytest.mark.usefixtures("measured_at_two_noises")
def test_lengths_are_interpolated_between_noises(sigma, scale, gradient, source):
    resolved = resolve(DPS, blur(64), prior("mine"), steps=100, sigma=sigma)
    assert resolved.sampler.scale == pytest.approx(scale)
    assert (resolved.sampler.gradient, resolved.sources["scale"]) == (gradient, source)
    assert resolved.warning == ""


@pytest.mark.parametrize(("sigma", "nearest"), [(0.0, 0.02), (0.005, 0.02), (0.5, 0.2)])
@pytest.mark.usefixtures("measured_at_two_noises")
def test_beyond_the_measured_noises_it_is_said(sigma, nearest):
    resolved = resolve(DPS, blur(64), prior("mine"), steps=100, sigma=sigma)
    assert resolved.sampler.scale == {0.02: 4.0, 0.2: 1.0}[nearest]
    assert resolved.warning.endswith(f"is the value measured at noise {nearest:g}")
    assert f"64 px, 100 steps and noise {sigma:g}" in resolved.warning


@pytest.mark.parametrize(
    ("sigma", "scale"), [(0.2, 2.0), (0.02, 8.0), (math.sqrt(0.2 * 0.02), 4.0), (0.001, 8.0), (1.0, 2.0)]
)
def test_a_length_changes_with_the_noise_as_at_the_steps_where_that_was_measured(monkeypatch, sigma, scale):
    once = entry(0.2, scale=2.0) | {"steps": 400}
    found = [once, entry(0.2, scale=1.0), entry(0.02, scale=4.0)]
    monkeypatch.setattr("posteriori.settings.presets._entries", lambda: found)
    resolved = resolve(DPS, blur(64), prior("mine"), steps=400, sigma=sigma)
    assert resolved.sampler.scale == pytest.approx(scale)
    assert ("changed with the noise as in 100 steps" in resolved.warning) == (sigma < 0.2)


def test_langevin_steps_of_phase_retrieval_are_stable_at_their_noise():
    """eta is below twice the variance that y leaves, 4 sigma^2 for half of an orthonormal transform."""
    found = [e for e in presets._entries() if e.get("operator") == "phase-retrieval"]
    assert found
    for entry in found:
        assert entry["fields"]["step_size"] <= 2 * 4 * entry["noise"] ** 2


@pytest.mark.parametrize(("sigma", "step_size"), [(0.01, 2e-4), (0.02, 8e-4), (0.05, 5e-3), (0.2, 2e-2)])
def test_auto_recovers_phases_with_the_step_of_the_noise(sigma, step_size):
    faces, operator = prior("faces-64"), PhaseRetrieval((3, 64, 64))
    choice = choose("auto", "faces-64", operator.name, sigma, samples=4, kind="nonlinear")
    assert choice.sampler == "pnpdm"
    resolved = resolve(PnPDM, operator, faces, sigma=sigma, steps=choice.steps)
    assert resolved.sampler.step_size == step_size
    assert resolved.warning == ""
